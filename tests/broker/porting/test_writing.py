"""Files are replaced atomically, and keep their other properties."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broker.porting.sources import read
from broker.porting.writing import write


def test_mode_and_encoding(tmp_path: Path) -> None:
    """The mode stays, and the bytes are in the file's own encoding."""
    path = tmp_path / "a.py"
    path.write_bytes(b"# coding: latin-1\nx = '\xe9'\r\n")
    path.chmod(0o754)
    source = read(path)
    write(source, source.text.replace("x", "y"))
    assert path.read_bytes() == b"# coding: latin-1\ny = '\xe9'\r\n"
    assert path.stat().st_mode & 0o7777 == 0o754
    assert os.listdir(tmp_path) == ["a.py"]


def test_a_link(tmp_path: Path) -> None:
    """The target of a link is replaced; the link stays."""
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "link.py").symlink_to("a.py")
    write(read(tmp_path / "link.py"), "x = 2\n")
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "a.py").read_text() == "x = 2\n"


def test_a_file_that_has_changed(tmp_path: Path) -> None:
    """A file that has changed since it was read is left unchanged."""
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    source = read(path)
    path.write_text("x = 3\n")
    with pytest.raises(OSError, match="has changed"):
        write(source, "x = 2\n")
    assert path.read_text() == "x = 3\n"
    assert os.listdir(tmp_path) == ["a.py"]


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the new file cannot be written, the old one stays, without a temporary file."""

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(read(path), "x = 2\n")
    assert path.read_text() == "x = 1\n"
    assert os.listdir(tmp_path) == ["a.py"]
