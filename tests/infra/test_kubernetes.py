"""The server's manifests: valid, and about what the server has."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from larder.cli import larder
from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings, load_settings
from serving.http.server import SECONDS_TO_DRAIN

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = ROOT / "infra" / "kubernetes"


def items(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load((KUBERNETES / name).read_text())["items"]


@pytest.fixture(scope="module")
def deployment() -> dict[str, Any]:
    return next(item for item in items("serving.yaml") if item["kind"] == "Deployment")


@pytest.fixture(scope="module")
def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("name", ["serving.yaml", "settings.yaml"])
def test_every_object_is_valid(name: str):
    """As tests/schedules does for the CronJobs; the validator raises what is wrong."""
    assert items(name)
    for item in items(name):
        kubernetes_validate.validate(item, "1.30", strict=True)


def test_every_setting_exists_and_says_what_it_said():
    shared = {item["kind"]: item for item in items("settings.yaml")}
    given = shared["ConfigMap"]["data"] | shared["Secret"]["stringData"]

    assert set(given) <= {item.metadata.get("variable", f"LARDER_{item.name.upper()}") for item in fields(Settings)}
    settings = load_settings(given | {"LARDER_HOME": "/project"})
    assert str(settings.state) == "/state" and settings.redis.startswith("redis://")
    assert settings.registry.startswith("sqlite:")  # empty means the default


def test_all_pods_take_the_same_settings_and_the_same_volume(deployment: dict[str, Any]):
    pods = [deployment["spec"]["template"]["spec"]]
    pods += [job["spec"]["jobTemplate"]["spec"]["template"]["spec"] for job in items("cronjobs.yaml")]

    names = {(item["kind"], item["metadata"]["name"]) for item in items("settings.yaml")}
    for pod in pods:
        (one,) = pod["containers"]
        sources = {(kind, value["name"]) for source in one["envFrom"] for kind, value in source.items()}
        assert sources == {("configMapRef", "larder"), ("secretRef", "larder")}
        claims = {
            ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert claims and claims <= names
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001


def test_no_pod_gets_variables_that_are_no_settings(deployment: dict[str, Any]):
    """For every Service of the namespace Kubernetes gives each pod some, named after it, unless told not to."""
    (service,) = [item for item in items("serving.yaml") if item["kind"] == "Service"]
    prefix = service["metadata"]["name"].upper().replace("-", "_")
    pods = [deployment["spec"]["template"]["spec"]]
    pods += [job["spec"]["jobTemplate"]["spec"]["template"]["spec"] for job in items("cronjobs.yaml")]

    with pytest.raises(ConfigurationError, match=f"No such setting: {prefix}_PORT"):
        load_settings({f"{prefix}_PORT": "tcp://10.0.0.1:80", "LARDER_HOME": "/project"})
    assert [pod["enableServiceLinks"] for pod in pods] == [False] * len(pods)


def test_the_probes_ask_what_the_server_answers(container: dict[str, Any]):
    asked = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe", "startupProbe")}

    routes = re.findall(r'Route\("(/\w+)"', (ROOT / "serving" / "app.py").read_text())
    assert asked == {"/ready", "/health"} and asked <= set(routes)
    assert container["ports"][0]["containerPort"] == Settings.__dataclass_fields__["port"].default


def test_the_container_runs_a_command_that_exists(container: dict[str, Any]):
    command, *options = container["args"]

    shown = CliRunner().invoke(larder, [command, "--help"]).output
    assert all(option in shown for option in options if option.startswith("--"))


def test_a_pod_has_time_to_answer_what_is_under_way(deployment: dict[str, Any]):
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > SECONDS_TO_DRAIN + 10


def test_service_budget_and_autoscaler_mean_the_deployment(deployment: dict[str, Any]):
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    found = {item["kind"]: item["spec"] for item in items("serving.yaml")}

    assert found["Service"]["selector"] == labels
    assert found["PodDisruptionBudget"]["selector"]["matchLabels"] == labels
    assert found["HorizontalPodAutoscaler"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_the_monitor_asks_the_service_for_the_servers_metrics():
    (job,) = [item for item in items("cronjobs.yaml") if item["metadata"]["name"] == "larder-monitor"]
    (monitor,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    (service,) = [item for item in items("serving.yaml") if item["kind"] == "Service"]

    settings = load_settings({item["name"]: item["value"] for item in monitor["env"]} | {"LARDER_HOME": "/project"})

    assert (settings.host, settings.port) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
