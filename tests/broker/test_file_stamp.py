"""Stamps of files: equal as long as a file is the same, and has not changed."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.rewriting import rewrite_in_place

from broker.file_stamp import FileStamp, stamp_at, stamp_of


def status(**changed: int) -> Any:
    """The status of a file, with some fields changed."""
    fields = {"dev": 1, "ino": 2, "size": 3, "mtime_ns": 4, "ctime_ns": 5, "atime_ns": 6}
    return SimpleNamespace(**{f"st_{name}": each for name, each in {**fields, **changed}.items()})


def test_the_fields() -> None:
    """Each field has its own place."""
    stamp = stamp_of(status())
    assert stamp == FileStamp(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)


@pytest.mark.parametrize("field", ["dev", "ino", "size", "mtime_ns", "ctime_ns"])
def test_a_change_of_one_field(field: str) -> None:
    """Each of the fields alone makes another stamp."""
    assert stamp_of(status(**{field: 7})) != stamp_of(status())


def test_a_file_that_was_read() -> None:
    """The time of the last reading is not part of it."""
    assert stamp_of(status(atime_ns=7)) == stamp_of(status())


def test_a_path(tmp_path: Path) -> None:
    """The file at a path, also behind a symbolic link, has the stamp of the open file."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("one")
    link.symlink_to(path)
    with open(path, "rb") as file:
        opened = stamp_of(os.fstat(file.fileno()))
    assert opened == stamp_at(path) == stamp_at(str(path)) == stamp_at(os.fsencode(path))
    assert stamp_at(link) == opened
    rewrite_in_place(path, b"two")
    assert stamp_at(path) != opened


def test_nothing_to_see(tmp_path: Path) -> None:
    """A file that is not there, or behind what is no folder, has no stamp."""
    path = tmp_path / "file"
    assert stamp_at(path) is None
    path.write_text("")
    assert stamp_at(path / "file") is None
