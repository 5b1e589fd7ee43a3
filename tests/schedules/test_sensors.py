"""A raw file asks for one ingestion."""

from dagster import RunRequest, SkipReason, build_sensor_context

from larder.contracts.settings import Settings
from schedules.sensors import new_raw_files


def asked(cursor: str | None) -> tuple[list[RunRequest], str | None]:
    """What the sensor asks for at a look, and what it remembers of it."""
    context = build_sensor_context(cursor=cursor)
    answers = list(new_raw_files(context))
    assert all(isinstance(answer, RunRequest | SkipReason) for answer in answers)
    return [answer for answer in answers if isinstance(answer, RunRequest)], context.cursor


def test_a_new_file_asks_for_one_run_and_the_next_look_for_none(settings: Settings):
    (settings.raw / "orders_1.csv").write_text("order_id,buyer\n")

    first, cursor = asked(None)
    second, cursor_then = asked(cursor)

    assert len(first) == 1
    assert second == [] and cursor_then == cursor


def test_a_changed_file_and_one_more_ask_again_with_another_key(settings: Settings):
    (settings.raw / "orders_1.csv").write_text("order_id,buyer\n")
    (first,), cursor = asked(None)
    (settings.raw / "orders_1.csv").write_text("order_id,buyer\no1,b1\n")
    (changed,), cursor = asked(cursor)
    (settings.raw / "orders_2.csv").write_text("order_id,buyer\n")
    (added,), _ = asked(cursor)

    assert len({first.run_key, changed.run_key, added.run_key}) == 3


def test_no_file_and_files_of_no_table_ask_for_nothing(settings: Settings):
    assert asked(None) == ([], None)

    (settings.raw / "notes.txt").write_text("not a table")

    assert asked(None) == ([], None)
