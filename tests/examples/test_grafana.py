"""Grafana's dashboard of examples/deploy, by the types that Grafana publishes."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from web.node import CLIENT, NODE, ROOT, tools_are_there

FOLDER = Path(__file__).parent / "grafana"
"""The lock file of Grafana's types, and the type of the file."""
DASHBOARD: dict[str, Any] = json.loads((ROOT / "examples/deploy/grafana.json").read_text("utf-8"))
WRONG: dict[str, Any] = {
    "schemaVersion": "39",
    "refresh": 10,
    "tags": "perspective-broker",
    "panels.0.type": "statistic",
    "panels.0.options.reduceOptions.calcs": "lastNotNull",
    "panels.0.options.colorMode": "values",
    "panels.0.options.colour": "value",
    "panels.0.gridPos.w": "4",
    "panels.0.targets.0.expr": 1,
    "panels.0.targets.0.query": "pb_connections",
    "panels.0.fieldConfig.defaults.unit": 1,
    "panels.0.fieldConfig.defaults.custom": {"lineWidth": 1},
    "panels.7.options.legend.displayMode": "lists",
    "panels.7.options.reduceOptions": {"calcs": ["lastNotNull"]},
    "panels.7.fieldConfig.defaults.custom.lineWidth": "1",
    "templating.list.1.type": "queries",
    "templating.list.1.refresh": 3,
    "templating.list.1.datasource": "prometheus",
    "templating.list.1.current": {},
}
"""Values that Grafana's types do not have, by their places in the file."""

pytestmark = pytest.mark.timeout(300)


def changed(place: str, value: object) -> dict[str, Any]:
    """The dashboard with another value at a place."""
    found = copy.deepcopy(DASHBOARD)
    *path, last = [int(each) if each.isdecimal() else each for each in place.split(".")]
    inner: Any = found
    for each in path:
        inner = inner[each]
    inner[last] = value
    return found


def refused(folder: Path, files: dict[str, dict[str, Any]]) -> str:
    """What the type checker says about dashboards, by their names."""
    tools_are_there()
    tools_are_there(FOLDER)
    head = f'import type {{ File }} from "{FOLDER.as_posix()}/schema.ts";\n'
    for name, dashboard in files.items():
        text = f"{head}export const made: File = {json.dumps(dashboard)};\n"
        (folder / f"{name}.ts").write_text(text, "utf-8")
    options = {
        "target": "ES2022",
        "module": "ESNext",
        "moduleResolution": "Bundler",
        "types": [],
        "strict": True,
        "noEmit": True,
        "allowImportingTsExtensions": True,
    }
    config = {"compilerOptions": options, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(config), "utf-8")
    command = [NODE, CLIENT / "node_modules" / "typescript" / "bin" / "tsc", "-p", folder]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_types_of_grafana(tmp_path: Path) -> None:
    """Each panel, target, variable and option is one that Grafana knows, and none is missing."""
    assert refused(tmp_path, {"dashboard": DASHBOARD}) == ""


def test_wrong_dashboards(tmp_path: Path) -> None:
    """A wrong type or word, an option of another kind of panel, or an unknown one is refused."""
    output = refused(tmp_path, {place: changed(place, value) for place, value in WRONG.items()})
    assert set(re.findall(r"^(\S+)\.ts\(", output, re.MULTILINE)) == set(WRONG)
