"""The TypeScript client in Node without a server: the golden vectors, and scripted peers."""

from __future__ import annotations

from pathlib import Path

import pytest
from web.node import run_node

HERE = Path(__file__).parent


@pytest.mark.parametrize("program", ["conversations", "caller", "values", "sessions"])
async def test_program(program: str) -> None:
    """Each vector holds for the end that is called, for the end that calls, and for the values.

    The sessions do what scripted peers ask for.
    """
    output = await run_node(HERE / f"{program}.ts")
    assert "skipped 0" in output
