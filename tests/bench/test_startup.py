"""The time of ``import broker``: it is measured in both forms."""

from __future__ import annotations

import pytest
from bench import startup


@pytest.mark.parametrize("pure", [False, True])
def test_pairs(pure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair has seconds of both imports, with BROKER_PURE if it is asked for."""
    monkeypatch.delenv("BROKER_PURE", raising=False)
    monkeypatch.setattr(
        startup, "OURS", f"import os; assert ('BROKER_PURE' in os.environ) is {pure}"
    )
    ((ours, plain),) = startup.seconds(1, pure=pure)
    assert min(ours, plain) >= 0
