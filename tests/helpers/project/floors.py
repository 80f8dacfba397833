"""Print the lowest versions that pyproject.toml allows at run time, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"


def floors(text: str) -> list[str]:
    """Return a constraint for each requirement, the command's and WebSocket's too, with a floor."""
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cli"], *extras.get("ws", ())]
    found = (re.match(r"([\w.]+)>=([\d.]+)", each) for each in wanted)
    return [f"{floor[1]}=={floor[2]}" for floor in found if floor]


if __name__ == "__main__":
    print("\n".join(floors(PROJECT.read_text("utf-8"))))
