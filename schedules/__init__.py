"""Dagster definitions: the steps of the loop as assets with checks, run by the clock and by what happens.

`dagster dev -m schedules.definitions` shows them; nothing else of this project imports Dagster.
"""
