"""The files of examples/deploy that other programs read: Grafana's dashboard."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from broker import prometheus

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
HISTOGRAM = ("_bucket", "_sum", "_count")


def exported() -> set[str]:
    """The names of the samples that ``/metrics`` has."""
    found: set[str] = set()
    for name, (kind, _) in prometheus._METRICS.items():
        found |= {name + end for end in HISTOGRAM} if kind == "histogram" else {name}
    return found


def test_the_dashboard_is_one() -> None:
    """Its variables are those that it uses, and its panels do not overlap."""
    assert DASHBOARD["title"] and DASHBOARD["uid"] and DASHBOARD["schemaVersion"] >= 36
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__all", "__rate_interval"}
    assert used == set(variables)
    assert len({each["id"] for each in PANELS}) == len(PANELS)
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["type"] in ("timeseries", "stat") and panel["title"] and panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"])
               for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not own & cells
        cells |= own
        ids = [target["refId"] for target in panel["targets"]]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_expressions(title: str, expression: str) -> None:
    """Each names metrics that are exported; a counter is read by its rate, brackets are closed."""
    names = re.findall(r"\bpb_\w+", expression)
    assert names and set(names) <= exported()
    for one, other in ("()", "{}", "[]"):
        assert expression.count(one) == expression.count(other)
    is_rate = f"rate({names[0]}" in expression
    assert is_rate == names[0].endswith(("_total", *HISTOGRAM))


def test_each_metric_is_shown() -> None:
    """The dashboard leaves out no metric."""
    shown = set(re.findall(r"\bpb_\w+", json.dumps(DASHBOARD)))
    for name, (kind, _) in prometheus._METRICS.items():
        assert shown & ({name + end for end in HISTOGRAM} if kind == "histogram" else {name}), name


def test_the_order_of_the_panels() -> None:
    """They are written in the order in which they are read."""
    places = [(each["gridPos"]["y"], each["gridPos"]["x"]) for each in PANELS]
    assert all(one < other for one, other in pairwise(places))


def test_the_port_of_the_metrics() -> None:
    """Prometheus reads the port that the configuration of the example opens."""
    http = tomllib.loads((DEPLOY / "pb.toml").read_text("utf-8"))["serve"]["http"]
    port = http.rpartition(":")[2]
    assert f'"office:{port}"' in (DEPLOY / "prometheus.yml").read_text("utf-8")
