"""The name ``Any`` becomes rarer: each package has a figure, which may only go down.

Values of an application are ``object`` and are narrowed where they are used; expressions are
``jelly.atoms.Expression``; what depends on a caller is a type variable or a Protocol. ``Any`` stays
where it is the truth: a table selects the type, or applications override the method.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from project import hops

TARGET, TARGETS = 25.0, {"broker/connection": 20.0, "broker/core": 15.0}
"""Most names ``Any`` for each 1,000 lines of a package; those with a target of their own."""

FIGURES = {
    "broker/*.py": 8.9,
    "broker/blocking": 13.6,
    "broker/cluster": 8.1,
    "broker/commands": 7.4,
    "broker/connection": 10.6,
    "broker/core": 8.8,
    "broker/defer": 21.2,
    "broker/demo": 2.4,
    "broker/flavors": 16.6,
    "broker/folders": 4.8,
    "broker/inspection": 1.0,
    "broker/link": 15.7,
    "broker/login": 11.8,
    "broker/net": 9.3,
    "broker/porting": 0.0,
    "broker/reactor": 13.7,
    "broker/testing": 21.4,
    "broker/topics": 2.2,
    "cred": 11.4,
    "jelly": 14.1,
}
"""The figures of today. Lower a figure when its package has fewer names; never raise one."""

WAITING: set[str] = set()
"""Packages above their target."""

ABOVE, BELOW = 0.5, 2.0
"""How far a package may be from its figure: lines without the name come and go, too."""


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    """The names ``Any`` for each 1,000 lines, of each package."""
    found: dict[str, float] = hops.counts().any_per_thousand
    return found


def test_each_package_has_a_figure(measured: dict[str, float]) -> None:
    """No package is left out, and none that is gone is in the table."""
    assert measured.keys() == FIGURES.keys()


@pytest.mark.parametrize("package", FIGURES)
def test_the_figure_only_goes_down(package: str, measured: dict[str, float]) -> None:
    """No package has more than its figure; a figure that is too high by now is lowered."""
    figure, now = FIGURES[package], measured[package]
    assert now <= figure + ABOVE, f"{package} has {now}, most is {figure}"
    assert now >= figure - BELOW, f"lower the figure of {package} from {figure} to {now}"


def test_the_targets() -> None:
    """The packages that are above their target are these, and no others."""
    above = {name for name, figure in FIGURES.items() if figure > TARGETS.get(name, TARGET)}
    assert above == WAITING


def test_what_is_counted(tmp_path: Path) -> None:
    """Names and attributes are counted, wherever they stand; imports and texts are not."""
    (tmp_path / "a.py").write_text(
        "import typing\n"
        "from typing import Any\n"
        "def f(x: Any) -> typing.Any:\n"
        '    """Any."""\n'
        "    y: dict[str, Any] = {}\n" + "\n" * 5
    )
    assert hops._any_per_thousand(tmp_path.glob("*.py")) == 300.0
