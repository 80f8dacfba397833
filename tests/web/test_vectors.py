"""The golden vectors, read and written by the TypeScript client in Node."""

from __future__ import annotations

from pathlib import Path

import pytest
from web.node import run_node

HERE = Path(__file__).parent


@pytest.mark.parametrize("program", ["conversations", "caller", "values"])
async def test_vectors(program: str) -> None:
    """Each vector holds for the end that is called, for the end that calls, and for the values."""
    output = await run_node(HERE / f"{program}.ts")
    assert "skipped 0" in output
