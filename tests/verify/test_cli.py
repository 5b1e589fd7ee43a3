"""The command as a user calls it."""

import json
import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from larder.contracts.errors import DifferenceError
from larder.contracts.settings import Settings
from larder.offline import DeltaSource
from larder.online.writing.writer import write_records
from larder.verify.cli import verify
from tests.online.rows import visits
from tests.verify.shop import Shop, shop_settings, stored_on_demand_view, visits_view


@pytest.fixture
def settings(shop: Shop, tmp_path: Path) -> Settings:
    """Of the shop, its clock one minute after noon; three users, all of them online."""
    return shop_settings(shop, tmp_path)


def called(settings: Settings, *options: str) -> Result:
    return CliRunner().invoke(verify, options, obj=settings)


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
def test_what_an_on_demand_view_stores_is_said_not_to_be_compared(settings: Settings, shop: Shop):
    shop.store.apply([stored_on_demand_view()])

    result = called(settings)

    assert result.exit_code == 0
    assert "'doubled' has write_to_online_store=True" in " ".join(result.output.split())


def test_equal_sides_end_well_and_leave_a_report(settings: Settings):
    result = called(settings)

    assert result.exit_code == 0
    assert "All 3 online values equal" in result.output
    report = json.loads((settings.reports / "verify.json").read_text())
    assert (report["compared"], report["different"], report["views"][0]["entities"]) == (3, 0, 3)


def test_a_difference_is_named_and_ends_with_2(settings: Settings, shop: Shop):
    shop.client.delete(shop.key("a"))

    result = called(settings)

    assert isinstance(result.exception, SystemExit) and result.exit_code == DifferenceError.exit_code == 2
    assert "visits:score: 1 different (1 missing)" in result.output
    assert "1 of 3 online values differ" in result.output


def test_a_repair_says_what_it_did_and_ends_well(settings: Settings, shop: Shop):
    shop.client.delete(shop.key("a"))
    write_records(shop.client, shop.view.plan, "shop", visits(("b", 0, 0, 7.0), ("eve", 0, 0, 7.0)))

    result = called(settings, "--repair")

    assert result.exit_code == 0
    assert "visits: 3 entities repaired (1 missing, 1 extra, 1 bug)" in result.output
    assert "All 3 online values equal" in result.output
    assert called(settings).exit_code == 0


def test_a_sample_compares_so_many_entities_and_the_same_ones_for_one_seed(settings: Settings, shop: Shop):
    shop.client.delete(shop.key("a"))

    results = [called(settings, "--sample", "1", "--seed", str(seed)) for seed in (*range(12), *range(12))]

    codes = [result.exit_code for result in results]
    assert set(codes) == {0, 2}
    assert codes[:12] == codes[12:]
    assert "All 1 online values equal" in results[codes.index(0)].output


@pytest.fixture
def unreadable(settings: Settings, shop: Shop) -> str:
    """A second view, before `visits` by name, whose table somebody has damaged."""
    table = shop.table.parent / "clicks"
    write_deltalake(str(table), visits(("a", 0, 0, 1.0)))
    source = DeltaSource(name="click_rows", path="clicks", timestamp_field="event_timestamp")
    shop.store.apply([visits_view(name="clicks", source=source)])
    (table / "_delta_log" / f"{0:020}.json").write_text("")
    return str(table)


@pytest.mark.parametrize("options", [[], ["--repair"], ["--sample", "9"]])
def test_a_view_whose_table_is_unreadable_does_not_hide_the_others(
    settings: Settings, unreadable: str, options: list[str]
):
    result = called(settings, *options)

    assert isinstance(result.exception, SystemExit) and result.exit_code == 2
    assert re.search(f"clicks: not compared\\. .*{unreadable}.* is empty", result.output)
    assert "All 3 online values that could be compared equal" in result.output
    assert "1 of 2 views could not be compared: clicks." in result.output
    clicks, visits = json.loads((settings.reports / "verify.json").read_text())["views"]
    assert unreadable in clicks["error"] and clicks["entities"] == 0
    assert (visits["error"], visits["entities"]) == ("", 3)


def test_differences_are_told_beside_a_view_that_is_unreadable(settings: Settings, shop: Shop, unreadable: str):
    shop.client.delete(shop.key("a"))

    result = called(settings)

    assert "1 of 3 online values differ" in result.output
    assert "1 of 2 views could not be compared: clicks." in result.output
    assert result.exit_code == 2


@pytest.mark.parametrize("options", [["--seed", "1"], ["--metrics-port", "0"], ["--every", "1", "--repair"]])
def test_options_that_do_not_belong_together_are_refused(settings: Settings, options: list[str]):
    result = called(settings, *options)

    assert result.exit_code == 2
    assert "--" in result.output.splitlines()[-1]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_rounds_show_metrics_and_end_on_a_signal(settings: Settings, shop: Shop, ending: signal.Signals):
    shop.client.delete(shop.key("a"))

    text = _watched(settings, lambda text: _counted(text, "larder_verify_compared_total") >= 6, ending)

    different = r'larder_verify_different_total\{cause="missing",feature="score",view="visits"\}'
    assert _counted(text, different) >= 2
    assert _counted(text, "larder_verify_last_run_timestamp_seconds") == pytest.approx(time.time(), abs=60)


@pytest.mark.usefixtures("unreadable")
def test_rounds_count_an_unreadable_view_as_failed_and_compare_the_others(settings: Settings):
    text = _watched(settings, lambda text: _counted(text, "larder_verify_compared_total") >= 6, signal.SIGTERM)

    assert _counted(text, "larder_verify_failures_total") >= 2
    assert _counted(text, "larder_verify_last_run_timestamp_seconds") == 0


def _watched(settings: Settings, is_enough: Callable[[str], bool], ending: signal.Signals) -> str:
    """The metrics of `larder verify --every`, as soon as they are enough; then it is ended."""
    seen: list[str] = []
    port = _free_port()

    def look() -> None:
        try:
            seen.append(_until(lambda: _metrics(port), is_enough))
        finally:
            os.kill(os.getpid(), ending)

    watcher = threading.Thread(target=look)
    watcher.start()
    result = called(settings, "--sample", "3", "--every", "0.1", "--metrics-port", str(port))
    watcher.join()

    assert result.exit_code == 0
    (text,) = seen
    return text


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _metrics(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _until(look: Callable[[], str], is_enough: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = look()
        if is_enough(text):
            return text
        time.sleep(0.05)
    raise AssertionError(f"not seen within a minute: {text}")


def _counted(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def test_redis_is_found_where_the_online_store_says_it_is(settings: Settings, tmp_path: Path):
    file = tmp_path / "feature_repo" / "feature_store.yaml"
    store = f"{{type: larder.online.RedisOnlineStore, connection_string: {settings.redis!r}}}"
    file.write_text(file.read_text().replace("{type: larder.online.RedisOnlineStore}", store))

    result = called(replace(settings, redis="embedded"))

    assert "All 3 online values equal" in result.output
    assert not (settings.state / "redis").exists()  # no other Redis was started


def test_a_layout_without_packed_records_is_refused(settings: Settings, tmp_path: Path):
    file = tmp_path / "feature_repo" / "feature_store.yaml"
    file.write_text(file.read_text().replace("RedisOnlineStore}", "RedisOnlineStore, layout: feast}"))

    result = called(settings)

    assert result.exit_code == 2
    assert "layout 'feast', which holds no packed records" in result.output
