"""The files of deploy/, checked by the tools that know their formats, and against each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SECRET = "0123456789abcdef0123456789"


def tool(name: str) -> str:
    """A command of this environment or of the system; skips where there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def manifests() -> dict[str, Any]:
    text = (DEPLOY / "kubernetes" / "turnout.yaml").read_text()
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def test_prometheus_takes_the_rules_and_its_configuration() -> None:
    run(tool("promtool"), "check", "config", "prometheus.yml", cwd=DEPLOY / "prometheus")


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    run(tool("promtool"), "test", "rules", "alerts_test.yml", cwd=DEPLOY / "prometheus")


def test_every_alert_has_a_unit_test() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    tests = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert len(names) >= 6
    for name in names:
        assert tests.count(name) >= 2, f"{name} is not tested both ways"


def test_the_dockerfile_has_no_fault() -> None:
    run(tool("hadolint"), "deploy/Dockerfile")


def test_the_compose_file_fits_the_specification() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_the_manifests_fit_the_schemas_of_kubernetes() -> None:
    run(tool("kubernetes-validate"), "--strict", "deploy/kubernetes/turnout.yaml")


def test_the_image_installs_exactly_what_is_locked() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9][a-z0-9._-]*==[^ ;\\]+)", path.read_text(), re.MULTILINE))

    assert pins(DEPLOY / "requirements.txt") <= pins(ROOT / "requirements.lock")


def test_the_served_configurations_are_good(tmp_path: Path) -> None:
    keys = dict.fromkeys(("TURNOUT_ADMIN_KEY", "REDIS_PASSWORD", "OPENROUTER_API_KEY", "COMETAPI_KEY"), SECRET)
    keys["TURNOUT_KEY_FIRST"] = SECRET + "f"
    load(DEPLOY / "turnout.yaml", keys)
    mapped = tmp_path / "turnout.yaml"
    mapped.write_text(manifests()["ConfigMap"]["data"]["turnout.yaml"])
    load(mapped, keys)


def test_compose_names_only_files_that_are_there_and_asks_for_every_secret() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), f"{name}: {source}"
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    offered = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert asked == offered


def test_a_pod_has_time_to_drain() -> None:
    found = manifests()
    pod = found["Deployment"]["spec"]["template"]["spec"]
    settings = yaml.safe_load(found["ConfigMap"]["data"]["turnout.yaml"])
    (container,) = pod["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + settings["server"]["drain_seconds"] + 5


def test_secrets_are_referred_to_and_never_written() -> None:
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        assert "secretKeyRef" in variable["valueFrom"], variable["name"]


@pytest.mark.parametrize("name", ["uptime", "cost"])
def test_a_grafana_dashboard_is_whole(name: str) -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / f"{name}.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "prometheus"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert all(target["expr"] for target in panel["targets"])
