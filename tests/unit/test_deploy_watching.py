"""Alert rules and dashboard are sound: what each asks for parses, and leads to a section of the runbook."""

import json

import pytest

from tests import promql
from tests.promql import GRAFANA, PROMETHEUS, alerts, asked
from tests.unit.test_pages import ROOT, anchors


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_alert_says_how_grave_it_is_and_what_to_do(rule: dict[str, promql.Json]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"warning", "critical"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors(ROOT / page)
    assert rule["annotations"]["summary"]
    assert promql.metrics(rule["expr"])


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names) >= 30


def test_prometheus_scrapes_the_jobs_that_alerts_name() -> None:
    told = promql.read(PROMETHEUS / "prometheus.yaml")
    jobs = {each["job_name"] for each in told["scrape_configs"]}
    named = {job for rule in alerts() for job in promql.jobs(rule["expr"])}
    assert named == jobs == {"pullarm-serving", "pullarm-workers", "pullarm-control"}
    assert all((PROMETHEUS / name).exists() for name in told["rule_files"])


def test_panels_lie_beside_each_other_and_ask_for_something() -> None:
    panels = json.loads((GRAFANA / "pullarm.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["targets"], panel["title"]
    assert all(promql.metrics(expression) for expression in asked())


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (le, a) (rate(x_bucket{b="sum(y)"}[5m])) / on (a) group_left (c) z > 1e3', "x_bucket z"),
        ("histogram_quantile(0.95, sum(rate(x[$__rate_interval]))) and y == 2 unless w", "x y w"),
        ("absent(up{job=\"a\"} == 1)", "up"),
    ],
)  # fmt: skip
def test_metrics_of_an_expression(expression: str, found: str) -> None:
    assert promql.metrics(expression) == set(found.split())


@pytest.mark.parametrize(
    "expression",
    ["sum(x", "sum(x))", "rat(x[5m])", "rate(x[5])", "rate(x[5m)", "x{a=b}", 'x{a="b}', "x ~ y"],
)
def test_what_prometheus_would_refuse_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        promql.metrics(expression)
