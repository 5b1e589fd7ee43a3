"""The as-of join and its two engines: in this process and on Spark."""
