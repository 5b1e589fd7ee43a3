"""MLflow's sqlite file says in full where each model's files lie, so that it is wrong once the state folder moved."""

import sqlite3
from contextlib import closing

from sqlalchemy.engine import make_url

_PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""Table -> its column with an address, of MLflow's schema; it has no function that changes them."""


def follow(database: str, *, before: str, now: str) -> None:
    """Let addresses below the folder `before` begin with `now`; `database` is a sqlite address of SQLAlchemy's."""
    with closing(sqlite3.connect(str(make_url(database).database))) as connection, connection:
        for table, column in _PLACES.items():
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
                (now, len(before) + 1, len(before) + 1, f"{before}/"),
            )
