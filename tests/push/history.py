"""A small table that changes in every way a Delta table can, and an obvious account of what serving knows of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import redis
from deltalake import DeltaTable, write_deltalake

from larder.contracts.plan import Feature, ViewPlan
from larder.offline.history import History
from larder.online.contents import read_view, stored_keys
from larder.push.write import Online

INSTANT = pa.timestamp("us", tz="UTC")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PLAN = ViewPlan("scores", (Feature("user", "string"),), ("user",), (Feature("score", "float64"),), None)
SCHEMA = pa.schema([("user", pa.string()), ("seen_at", INSTANT), ("known_at", INSTANT), ("score", pa.float64())])

Row = tuple[str | None, int, int, float | None]
"""User, event timestamp and known at in minutes after noon, score."""


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def rows(*given: Row) -> pa.Table:
    users, events, known, scores = zip(*given, strict=True) if given else ((), (), (), ())
    columns = [list(users), [*map(at, events)], [*map(at, known)], list(scores)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def history(place: Path | str, *, cutoff: bool = True) -> History:
    return History(str(place), ("user",), ("score",), "seen_at", "known_at", cutoff=cutoff)


def online(client: redis.Redis, plan: ViewPlan = PLAN) -> Online:
    return Online(client, "shop", plan)


def held(client: redis.Redis) -> dict[str, tuple[datetime, datetime, float | None]]:
    """What Redis holds of every entity: event timestamp, known at, score."""
    keys = [key.decode().rsplit("{s1:", 1)[1].rstrip("}") for key in stored_keys(client, "shop", PLAN.name)]
    found = read_view(client, PLAN, "shop", pa.table({"user": pa.array(keys, pa.string())})).to_pylist()
    return {row["user"]: (row["event_timestamp"], row["known_at"], row["score"]) for row in found}


def expected(table: list[Row], instant: int, *, cutoff: bool) -> dict[str, tuple[datetime, datetime, float | None]]:
    """One loop over all rows."""
    best: dict[str, Row] = {}
    for row in table:
        user, event, known, _ = row
        if user is None or event > instant or (cutoff and known > instant):
            continue
        if user not in best or _order(row) > _order(best[user]):
            best[user] = row
    return {user: (at(event), at(known), score) for user, (_, event, known, score) in best.items()}


def _order(row: Row) -> tuple[int, int, bool, float]:
    """Null is less than any value."""
    _, event, known, score = row
    return event, known, score is not None, score or 0.0


@dataclass
class Table:
    """A Delta table, and beside it the rows of each of its versions in plain Python."""

    place: str
    versions: list[list[Row]]

    @classmethod
    def made(cls, place: Path, first: list[Row]) -> "Table":
        write_deltalake(str(place), rows(*first))
        return cls(str(place), [first])

    @property
    def now(self) -> list[Row]:
        return self.versions[-1]

    def append(self, new: list[Row]) -> None:
        write_deltalake(self.place, rows(*new), mode="append")
        self._became([*self.now, *new])

    def delete(self, user: str, where: str = "true") -> None:
        """Rows of a user; `where` is a condition on other columns."""
        DeltaTable(self.place).delete(f"user = '{user}' AND {where}")
        left = DeltaTable(self.place).to_pyarrow_table(columns=["user", "seen_at", "known_at", "score"])
        self._became([_row(row) for row in left.to_pylist()])

    def insert(self, new: list[Row]) -> None:
        """MERGE the rows of users that the table does not have, and no others."""
        merge = DeltaTable(self.place).merge(rows(*new), "t.user = s.user", source_alias="s", target_alias="t")
        merge.when_not_matched_insert_all().execute()
        users = {row[0] for row in self.now}
        self._became([*self.now, *(row for row in new if row[0] not in users)])

    def update(self, user: str, score: float) -> None:
        DeltaTable(self.place).update(updates={"score": str(score)}, predicate=f"user = '{user}'")
        self._became([(*row[:3], score) if row[0] == user else row for row in self.now])

    def merge(self, new: list[Row]) -> None:
        """Replace each user's rows; of several new rows of one user the first counts."""
        first = {row[0]: row for row in reversed(new) if row[0] is not None}
        merge = DeltaTable(self.place).merge(rows(*first.values()), "new.user = old.user", "new", "old")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()
        kept = [first.get(row[0], row) for row in self.now]
        self._became([*kept, *(row for user, row in first.items() if all(old[0] != user for old in self.now))])

    def vacuum(self) -> None:
        DeltaTable(self.place).vacuum(0, dry_run=False, enforce_retention_duration=False)
        self._became(self.now)

    def optimize(self) -> None:
        DeltaTable(self.place).optimize.compact()
        self._became(self.now)

    def overwrite(self, new: list[Row]) -> None:
        write_deltalake(self.place, rows(*new), mode="overwrite")
        self._became(new)

    def restore(self, version: int) -> None:
        DeltaTable(self.place).restore(version)
        self._became(self.versions[version])

    def checkpoint_and_forget(self) -> None:
        """Make the log before the newest version unreadable, as its clean-up does in time."""
        table = DeltaTable(self.place)
        table.create_checkpoint()
        for log in sorted((Path(self.place) / "_delta_log").glob("*.json")):
            if int(log.stem) <= table.version():
                log.unlink()

    def _became(self, content: list[Row]) -> None:
        """Whatever changed nothing has made no version; VACUUM makes two."""
        made = DeltaTable(self.place).version() + 1 - len(self.versions)
        self.versions += [content] * made


def _row(row: dict[str, Any]) -> Row:
    seen, known = ((row[name] - NOON) // timedelta(minutes=1) for name in ("seen_at", "known_at"))
    return row["user"], seen, known, row["score"]
