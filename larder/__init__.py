"""Larder: Feast definitions, Delta Lake history, Redis serving; online equals offline, proven."""
