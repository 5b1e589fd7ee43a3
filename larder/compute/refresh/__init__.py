"""Bringing gold up to its events: what to read, what to append, and the files that hold it."""
