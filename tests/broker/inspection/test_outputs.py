"""The output of a line: bounded, taken from all threads, and apart from that of all else."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from broker.inspection.outputs import CURRENT, MOST, Output, install


@pytest.fixture(autouse=True)
def restored_streams() -> Iterator[None]:
    """Put the standard streams and the displayhook back after a test."""
    before = sys.stdout, sys.stderr, sys.displayhook
    yield
    sys.stdout, sys.stderr, sys.displayhook = before


async def test_texts() -> None:
    """What is printed in one turn of the loop is sent as one; values are kept for the result."""
    texts: list[str] = []
    names: dict[str, object] = {}
    output = Output(texts.append, names)
    for text in ("a", "", "b"):
        output.write(text)
    output.display(5)
    output.display(None)
    assert texts == []
    await asyncio.sleep(0)
    assert texts == ["ab"]
    output.write("c")
    output.flush()
    output.flush()
    assert texts == ["ab", "c"]
    assert (output.kept(), output.kept(), names) == ("5\n", "", {"_": 5})


async def test_without_a_console() -> None:
    """What is printed is in the result."""
    output = Output(None, {})
    output.write("a\n")
    output.display("b")
    assert output.kept() == "a\n'b'\n"


async def test_the_limit() -> None:
    """The texts have 64 KiB in UTF-8 together, and then a line that says so, once."""
    output = Output(None, {})
    for _ in range(100):
        output.write("é" * 1000)
        output.keep("\udcff")
    kept = output.kept()
    assert MOST - 2 <= len(kept.partition("\n[")[0].encode()) <= MOST
    assert kept.endswith("\n[the output of a line is cut at 64 KiB]\n")


async def test_a_thread_that_prints_without_end() -> None:
    """After the limit it gives the loop nothing to do."""
    texts: list[str] = []
    output = Output(texts.append, {})
    loop: Any = asyncio.get_running_loop()

    def print_all(count: int) -> None:
        # The loop stands still meanwhile.
        thread = threading.Thread(target=lambda: [output.write("x" * 1000) for _ in range(count)])
        thread.start()
        thread.join()

    print_all(100)
    while sum(map(len, texts)) < MOST:
        await asyncio.sleep(0)
    before = len(loop._ready)
    print_all(1000)
    assert len(loop._ready) == before


async def test_streams(capsys: pytest.CaptureFixture[str]) -> None:
    """Inside a line the streams give to its output; elsewhere to what was there before."""
    install()
    replaced = sys.stdout, sys.stderr, sys.displayhook
    install()
    assert replaced == (sys.stdout, sys.stderr, sys.displayhook)
    output = Output(None, {})

    async def line() -> None:
        CURRENT.set(output)
        print("in")
        sys.stderr.writelines(["err", "or\n"])
        sys.displayhook(7)
        sys.stdout.flush()
        with pytest.raises(TypeError, match="must be str, not bytes"):
            sys.stdout.write(b"x")  # type: ignore[arg-type]

    await asyncio.create_task(line())
    print("out")
    sys.displayhook(8)
    assert sys.stdout.encoding
    assert output.kept() == "in\nerror\n7\n"
    assert capsys.readouterr().out == "out\n8\n"
