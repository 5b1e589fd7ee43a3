from typing import Any

import pytest

from larder.contracts.monitoring import Monitoring
from monitoring.monitors.service import quantile, service
from tests.monitoring.library import WINDOW, alarms, unknown

LIMITS = Monitoring(error_share=0.01, latency_p99_ms=150)


def metrics_text(*, ok: int = 995, errors: int = 5, fast: int = 1_000, dropped: int = 0, refused: int = 0) -> str:
    return f"""
# TYPE larder_requests counter
larder_requests_total{{status="200"}} {ok}
larder_requests_total{{status="503"}} {errors}
# TYPE larder_request_seconds histogram
larder_request_seconds_bucket{{le="0.1"}} {fast}
larder_request_seconds_bucket{{le="0.5"}} 1000
larder_request_seconds_bucket{{le="+Inf"}} 1000
larder_request_seconds_count 1000
larder_request_seconds_sum 20
# TYPE larder_champion_refused gauge
larder_champion_refused {refused}
# TYPE larder_prediction_log_dropped gauge
larder_prediction_log_dropped {dropped}
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 2e8
# TYPE process_cpu_seconds counter
process_cpu_seconds_total 12.5
"""


def test_a_healthy_server_is_well_and_its_resources_are_reported():
    found = {item.metric: item.value for item in service(WINDOW, "late_books", metrics_text(), LIMITS)}

    assert alarms(service(WINDOW, "late_books", metrics_text(), LIMITS)) == []
    assert found["error_share"] == 0.005 and found["latency_p99_ms"] == pytest.approx(99)
    assert found["memory_mb"] == 200 and found["cpu_seconds"] == 12.5 and found["requests"] == 1_000


@pytest.mark.parametrize(
    ("trouble", "metric"),
    [
        ({"errors": 20}, "error_share"),
        ({"fast": 900}, "latency_p99_ms"),
        ({"dropped": 1}, "dropped_rows"),
        ({"refused": 1}, "champion_refused"),
    ],
)
def test_each_trouble_alarms_alone(trouble: dict[str, Any], metric: str):
    found = service(WINDOW, "late_books", metrics_text(**trouble), LIMITS)

    assert alarms(found) == [("service", "late_books", metric)]


def test_a_server_that_does_not_answer_cannot_be_judged_and_one_without_requests_is_well():
    assert unknown(service(WINDOW, "late_books", None, LIMITS)) == [("service", "late_books", "up")]
    assert alarms(service(WINDOW, "late_books", "# nothing yet\n", LIMITS)) == []


def test_a_quantile_lies_on_a_straight_line_within_its_bucket():
    buckets = {0.1: 50.0, 0.2: 100.0, float("inf"): 100.0}

    assert quantile(buckets, 0.75) == pytest.approx(0.15)
    assert quantile({0.1: 0.0, float("inf"): 10.0}, 0.5) == float("inf")
