"""Bulk writes that no older value wins: commands from columns, compare-and-set and compare-and-swap in Redis."""
