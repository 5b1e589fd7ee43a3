"""Versions of Delta tables: pins that retrievals read, the file that keeps them in git, and what VACUUM must leave.

Nothing here imports Feast, so that `larder data` answers at once.
"""
