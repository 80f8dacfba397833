"""The lowest versions of what we need: the page says those that pyproject.toml has."""

from __future__ import annotations

import re
from pathlib import Path

from project import floors

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "requirements.md"


def test_the_page() -> None:
    """Each package with a floor has its row, with that floor."""
    rows = re.findall(r"^\| `([\w.]+)` \| ([\d.]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert [f"{name}=={floor}" for name, floor in rows] == floors.floors(text)


def test_floors() -> None:
    """A constraint is the floor of a requirement; markers and what has none are left out."""
    text = """
    [project]
    dependencies = ["one>=1.2", "two", "three; sys_platform == 'x'", "four>=4,<5"]
    optional-dependencies = {cli = ["five.six>=0.5.1; python_version > '3'"], jwt = ["no>=1"]}
    """
    assert floors.floors(text) == ["one==1.2", "four==4", "five.six==0.5.1"]
