"""The time of ``import broker``: it is measured in both forms."""

from __future__ import annotations

import pytest
from bench import startup

CODE = """import os, sys
assert ('BROKER_PURE' in os.environ) is {pure}
assert not sys.dont_write_bytecode"""


@pytest.mark.parametrize("pure", [False, True])
def test_pairs(pure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair has seconds of both imports, with BROKER_PURE if it is asked for.

    Compiled bytecode is kept, so that only the first import compiles.
    """
    monkeypatch.delenv("BROKER_PURE", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(startup, "OURS", CODE.format(pure=pure))
    ((ours, plain),) = startup.seconds(1, pure=pure)
    assert min(ours, plain) >= 0
