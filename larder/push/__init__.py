"""Materialization: from a table's history to the latest values in Redis, by Delta version. Loads no Feast."""
