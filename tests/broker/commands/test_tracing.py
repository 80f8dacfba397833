"""broker.commands.tracing: the traceback of an application's code."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from broker.commands.tracing import traceback_of


def test_the_frames_of_import_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins where the application's code does, and has all that the code called."""
    (tmp_path / "raises_at_import.py").write_text("import json\njson.loads('{')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError) as caught:
        importlib.import_module("raises_at_import")
    # The first frame is that of this test, which is no application.
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next)  # type: ignore[union-attr]
    lines = traceback_of(error).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].strip() == f'File "{tmp_path}/raises_at_import.py", line 2, in <module>'
    assert any("json/decoder.py" in line for line in lines)
    assert lines[-1].startswith("json.decoder.JSONDecodeError: ")
