"""The pictures of the chat in the tutorial: `make system` takes them again, and `make pictures`."""

from __future__ import annotations

from pathlib import Path

import pytest
from project.chat_pictures import FOLDER, NAMES, take


@pytest.mark.timeout(120)
async def test_pictures(tmp_path: Path) -> None:
    """The script takes all pictures of the tutorial, each with something on it."""
    await take(tmp_path, "chromium")
    page = (FOLDER.parent / "5-chat.md").read_text("utf-8")
    for name in NAMES:
        assert f"](pictures/{name})" in page
        assert (FOLDER / name).stat().st_size > 10_000
        assert (tmp_path / name).stat().st_size > 10_000
    assert {path.name for path in FOLDER.iterdir()} == set(NAMES)
