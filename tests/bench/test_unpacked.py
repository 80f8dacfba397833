"""The unpacked wheel: a folder that can be a variant."""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import ZipFile

import pytest
from bench import unpacked


def test_what_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel of the named checkout is built with both kinds; the folder has nothing else."""
    built: list[Path] = []

    def build_wheel(checkout: Path, folder: Path) -> Path:
        built.append(checkout)
        assert os.environ["BROKER_COMPILE"] == "1"
        with ZipFile(folder / "made.whl", "w") as archive:
            archive.writestr("broker/__init__.py", "")
        return folder / "made.whl"

    monkeypatch.setenv("BROKER_COMPILE", "")
    monkeypatch.setattr(unpacked, "build_wheel", build_wheel)
    left = tmp_path / "build" / "unpacked" / "broker" / "old.py"
    left.parent.mkdir(parents=True)
    left.write_text("")
    assert unpacked.main([str(tmp_path)]) == 0
    assert built == [tmp_path]
    assert [each.name for each in left.parent.iterdir()] == ["__init__.py"]
