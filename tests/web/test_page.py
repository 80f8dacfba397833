"""The how-to for browsers: its programs, run in Node with the built client."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from web.node import ROOT, run_node

PAGE = ROOT / "docs" / "howto" / "use-it-from-a-browser.md"
BUILT = ROOT / "broker" / "web" / "static" / "broker.js"


def blocks(language: str) -> list[str]:
    """Return the blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)


@pytest.mark.timeout(60)
async def test_the_programs_of_the_page(tmp_path: Path) -> None:
    """The server and the page print what the how-to says."""
    (server,) = blocks("python")
    program = "\n".join(blocks("js"))
    expected = re.findall(r"console\.log\(.*//> (.*)", program)
    (tmp_path / "chat.py").write_text(server.replace(":8787", ":0"), "utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", tmp_path / "chat.py", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().split()[-1]
        program = program.replace("./broker.js", BUILT.as_uri())
        program = program.replace("ws://127.0.0.1:8787/pb", address)
        (tmp_path / "page.mjs").write_text(program, "utf-8")
        said = (await run_node(tmp_path / "page.mjs")).splitlines()
    finally:
        process.kill()
        await process.wait()
    assert sorted(said) == sorted(expected)
    assert len(expected) == 9
