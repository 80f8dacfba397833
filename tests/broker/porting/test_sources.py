"""The files of a program: which are found, and what is read from them."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

import broker
from broker.porting.findings import Finding, Kind
from broker.porting.sources import Source, Unreadable, files_of, hiding, read


def put(path: Path, data: bytes = b"x = 1\n") -> Path:
    """Write a file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def found(*paths: Path) -> list[str]:
    """Return the names of the files that are found; findings by their texts."""
    each = list(files_of(paths))
    return [one.text if isinstance(one, Finding) else one.name for one in each]


def test_which_files(tmp_path: Path) -> None:
    """Python files of a folder, and scripts; no caches, hidden or virtual environments."""
    for name in ("a.py", "b.pyw", "c.tac", "package/__init__.py", "package/deep/d.py"):
        put(tmp_path / name)
    put(tmp_path / "script", b"#!/usr/bin/env python3\n")
    put(tmp_path / "shell", b"#!/bin/sh\n")
    for name in ("a.txt", ".hidden.py", ".git/a.py", "__pycache__/a.py", "env/lib/a.py"):
        put(tmp_path / name)
    put(tmp_path / "env" / "pyvenv.cfg")
    (tmp_path / "folder.py").mkdir()
    names = ["a.py", "b.pyw", "c.tac", "script", "__init__.py", "d.py"]
    assert found(tmp_path) == names
    assert found(tmp_path / "a.txt", tmp_path / "shell") == ["a.txt", "shell"]
    assert found(tmp_path, tmp_path / "a.py", tmp_path / "package") == names


def test_links(tmp_path: Path) -> None:
    """Links in a folder are not followed; one that leads out of it is reported."""
    outside = put(tmp_path / "outside" / "o.py").parent
    top = put(tmp_path / "top" / "a.py").parent
    (top / "loop").symlink_to(top)
    (top / "b.py").symlink_to(top / "a.py")
    (top / "nowhere.py").symlink_to(top / "nothing")
    (top / "self.py").symlink_to(top / "self.py")
    (top / "o.py").symlink_to(outside / "o.py")
    (top / "notes.txt").symlink_to(outside / "o.py")
    (top / "far").symlink_to(outside)
    links = [each for each in files_of([top]) if isinstance(each, Finding)]
    assert sorted(each.path for each in links) == [str(top / "far"), str(top / "o.py")]
    assert {each.kind for each in links} == {Kind.LOOK}
    assert [each for each in files_of([top]) if isinstance(each, Path)] == [top / "a.py"]
    # A link that is named is followed.
    (tmp_path / "link").symlink_to(top)
    assert "a.py" in found(tmp_path / "link")
    assert found(top / "b.py") == ["b.py"]


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be read is reported, and the others are searched."""
    put(tmp_path / "a.py")
    put(tmp_path / "closed" / "b.py")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert found(tmp_path) == ["a.py", "cannot be read: Permission denied"]


@pytest.mark.parametrize(
    "data",
    [
        b"x = '\xc3\xa9'\n",
        b"\xef\xbb\xbfx = '\xc3\xa9'\r\n",
        b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
        b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '\xe9'\n",
        b"# coding: euc-jp\nx = '\xa4\xa2'\n",
        b"x = 1",
        b"",
        b"x = 1\ry = 2\r",
        b"x = '\x0c\x1c\xe2\x80\xa8'\ny = 2\n",
        rb"x = '\d'",
    ],
)
def test_reading(data: bytes, tmp_path: Path) -> None:
    """Text is decoded as Python does, and encodes to the same bytes, with all line endings."""
    source = read(put(tmp_path / "a.py", data))
    assert source.text.encode(source.encoding) == data
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign):
            start, end = source.span(node)
            assert source.text[start:end].strip() == source.text[start:end] != ""


@pytest.mark.parametrize(
    ("data", "text", "line"),
    [
        (b"import os\nprint 'x'\n", "not Python 3: ", 2),
        (b"try: x\nexcept E, e: pass\n", "if it is Python 2, convert it first", 2),
        (b"x = (\n", "not Python 3: ", 1),
        (b"x = '\xe9'\n", "cannot be decoded: ", 0),
        (b"# coding: nothing\n", "cannot be decoded: ", 0),
        (b"# coding: rot13\n", "cannot be decoded: ", 0),
        (b"# coding: iso-2022-jp\nx = '\x1b$B$\"\x1b$B$$\x1b(B'\n", "byte for byte", 0),
        (b"x = '\0'\n", "null bytes", 0),
        (b"x = " + b"-" * 100_000 + b"1\n", "cannot be parsed: ", 0),
    ],
)
def test_what_cannot_be_read(data: bytes, text: str, line: int, tmp_path: Path) -> None:
    """A file that is not Python 3, or cannot be decoded, is reported with its line."""
    with pytest.raises(Unreadable, match=text) as caught:
        read(put(tmp_path / "a.py", data))
    if sys.version_info < (3, 12) or "null" not in text:
        assert caught.value.line == line


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe is not waited for; a missing file is reported."""
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(Unreadable, match=r"^not a regular file$"):
        read(tmp_path / "pipe.py")
    with pytest.raises(Unreadable, match=r"^cannot be read: No such file"):
        read(tmp_path / "gone.py")


def test_spans() -> None:
    """A span is counted in characters, for any letters and line endings."""
    source = Source(Path("a.py"), "é = 1\r\n\tif_ = '𝄞', b\rc = d\n".replace("\tif_", "e"))
    spans = [source.text[slice(*source.span(node))] for node in source.tree.body]
    assert spans == ["é = 1", "e = '𝄞', b", "c = d"]
    last = source.tree.body[2]
    assert source.line_around(*source.span(last)) == ("", "")
    assert source.newline == "\r\n"


def test_what_hides_ours(tmp_path: Path) -> None:
    """A module of the program with the name of one of our packages, which is found before it."""
    put(tmp_path / "cred.py")
    put(tmp_path / "jelly" / "__init__.py")
    put(tmp_path / "broker" / "notes.txt")
    put(tmp_path / "app" / "__init__.py")
    inner = put(tmp_path / "app" / "a.py")
    both = {"cred": tmp_path / "cred.py", "jelly": tmp_path / "jelly" / "__init__.py"}
    assert hiding(put(tmp_path / "a.py")) == both
    assert hiding(inner) == both
    assert hiding(put(tmp_path / "other" / "a.py")) == {}
    # Our packages do not hide themselves.
    assert hiding(Path(broker.__file__).parents[1] / "a.py") == {}
