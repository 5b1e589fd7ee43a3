"""A raw file asks for one ingestion, the policy for one retraining."""

from datetime import timedelta

import pyarrow as pa
from dagster import RunRequest, SkipReason, build_sensor_context
from deltalake import write_deltalake

from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.ledger import Act, ledger_of
from schedules.sensors import new_raw_files, retraining_is_due


def asked(cursor: str | None) -> tuple[str | None, str | None]:
    """Key of the run that the sensor asks for at a look, and what it remembers of it."""
    context = build_sensor_context(cursor=cursor)
    answer = new_raw_files(context)
    assert isinstance(answer, RunRequest | SkipReason)
    return answer.run_key if isinstance(answer, RunRequest) else None, context.cursor


def test_a_new_file_asks_for_one_run_and_the_next_look_for_none(settings: Settings):
    (settings.raw / "orders_1.csv").write_text("order_id,buyer\n")

    first, cursor = asked(None)
    second, cursor_then = asked(cursor)

    assert first is not None
    assert second is None and cursor_then == cursor


def test_a_changed_file_and_one_more_ask_again_with_another_key(settings: Settings):
    (settings.raw / "orders_1.csv").write_text("order_id,buyer\n")
    first, cursor = asked(None)
    (settings.raw / "orders_1.csv").write_text("order_id,buyer\no1,b1\n")
    changed, cursor = asked(cursor)
    (settings.raw / "orders_2.csv").write_text("order_id,buyer\n")
    added, _ = asked(cursor)

    assert None not in (first, changed, added) and len({first, changed, added}) == 3


def test_without_a_raw_folder_a_look_is_skipped_with_the_reason(settings: Settings):
    settings.raw.rmdir()

    answer = new_raw_files(build_sensor_context())

    assert isinstance(answer, SkipReason) and "There is no folder" in str(answer.skip_message)


def test_no_file_and_files_of_no_table_ask_for_nothing(settings: Settings):
    assert asked(None) == (None, None)

    (settings.raw / "notes.txt").write_text("not a table")

    assert asked(None) == (None, None)


def write_labels(settings: Settings) -> None:
    """An order an hour in the last sixty days; each outcome is known a day later."""
    orders = [settings.clock() - timedelta(hours=number) for number in range(1, 60 * 24)]
    instant = pa.timestamp("us", "UTC")
    rows = {
        "event_timestamp": pa.array(orders, instant),
        "known_at": pa.array([order + timedelta(days=1) for order in orders], instant),
        "is_returned": [number % 3 == 0 for number in range(len(orders))],
    }
    write_deltalake(Lake(settings.lake).labels("returned_orders"), pa.table(rows))


def test_without_labels_the_policy_asks_for_nothing_and_says_why(settings: Settings):
    answer = retraining_is_due(build_sensor_context())

    assert isinstance(answer, SkipReason) and answer.skip_message


def test_a_retraining_that_is_due_is_asked_for_once_and_again_after_the_next_training(settings: Settings):
    write_labels(settings)

    first, again = (retraining_is_due(build_sensor_context()) for _ in range(2))
    ledger_of(settings).append(
        Act.TRAINING, "returns/1", at=settings.clock() - timedelta(days=30), reason="due", inputs={"rows": 1000}
    )
    later = retraining_is_due(build_sensor_context())

    assert isinstance(first, RunRequest) and isinstance(again, RunRequest) and isinstance(later, RunRequest)
    assert first.run_key == again.run_key  # for a key Dagster starts one run
    assert later.run_key != first.run_key
