"""The scan of a whole file."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from broker.porting import scan as module
from broker.porting.findings import Finding, Kind
from broker.porting.scan import scan

TEXT = r"""
from twisted.spread import pb
isinstance(x, pb.nothing)
from twisted.python import usage
PATTERN = "\d"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with the text."""
    found = tmp_path / "a.py"
    found.write_text(TEXT)
    return found


def test_what_is_found(path: Path) -> None:
    """Findings are in the order of lines, each once; Python's warnings are not repeated."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        findings, source, moved = scan(path)
    assert source is not None
    assert moved == TEXT.replace("twisted.spread", "broker")
    kinds = [Kind.MOVES, Kind.ABSENT, Kind.STAYS]
    assert [(each.line, each.kind) for each in findings] == list(zip([2, 3, 4], kinds, strict=True))


def test_what_cannot_be_read(path: Path) -> None:
    """A file that cannot be read has only that finding."""
    path.write_text("import os\nprint 'x'\n")
    findings, source, _ = scan(path)
    assert [(each.line, each.kind) for each in findings] == [(2, Kind.UNREAD)]
    assert source is None


def test_a_wrong_edit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that would not be Python is never written: the file stays, and is reported."""
    monkeypatch.setattr(module, "apply", lambda text, edits: "from import")
    findings, source, moved = scan(path)
    assert source is not None
    assert moved == source.text
    assert [type(each) for each in findings] == [Finding]
    assert "imports cannot be moved" in findings[0].text
