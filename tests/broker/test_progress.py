"""Progress: reports over a connection, throttling, and the bar with and without a terminal."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import subprocess
import sys
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker import progress
from broker.progress import bar, reporter_of, throttled


class Noting:
    """Notes reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[Any, ...]] = []

    def report(self, done: float, total: float | None = None, note: str = "") -> None:
        """Note it."""
        self.reports.append((done, total, note))


class Watcher(broker.Referenceable):
    """Notes the reports of a peer."""

    def __init__(self) -> None:
        self.reports: list[tuple[Any, ...]] = []

    def remote_report(self, *report: Any) -> None:
        """Note it."""
        self.reports.append(report)


class Worker(broker.Root):
    """Reports while it works."""

    def remote_work(self, watcher: Any) -> str:
        """Work."""
        report = reporter_of(watcher)
        for done in range(1, 4):
            report(done, 3, "step")
        return "done"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_over_a_connection(dialect: str) -> None:
    """The reports arrive before the answer, one way."""
    policy = broker.STRICT.but(dialects=(dialect,))
    watcher = Watcher()
    async with (
        broker.serve(Worker(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        assert await connection.root.callRemote("work", watcher) == "done"
    assert watcher.reports == [(1, 3, "step"), (2, 3, "step"), (3, 3, "step")]


def test_a_report_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the work goes on."""

    class Broken:
        def report(self, *report: Any) -> None:
            raise ValueError("no")

    reporter_of(Broken())(1)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    reporter_of(None)(1, 2, "x")
    with pytest.raises(TypeError, match=r"^a int has no method 'report'$"):
        reporter_of(5)


async def test_throttling() -> None:
    """The first report and the last one go out; in between the newest, every so often."""
    noting = Noting()
    limited = throttled(noting, every=0.05)
    for done in range(1, 101):
        limited.report(done, 100)
    assert noting.reports == [(1, 100, "")]
    async with asyncio.timeout(5):
        while len(noting.reports) < 2:
            await asyncio.sleep(0.01)
    assert noting.reports == [(1, 100, ""), (100, 100, "")]
    async with asyncio.timeout(5):
        while limited._timer is not None:
            await asyncio.sleep(0.01)
    limited.report(101)
    assert noting.reports[-1] == (101, None, "")


def test_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each second, and one at the end."""
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    out = io.StringIO()
    with bar(2_000_000, "copy", file=out) as shown:
        shown.report(500)
        shown.report(1_500)
        now += 1
        shown.report(1_500_000, note="soon")
        shown.report(2_000_000)
    shown.report(5)
    assert out.getvalue().splitlines() == [
        "copy: 500 B of 2.0 MB",
        "copy: 1.5 MB of 2.0 MB soon",
        "copy: 2.0 MB of 2.0 MB",
    ]
    out = io.StringIO()
    with bar(unit="files", file=out) as shown:
        shown.report(3)
        shown.report(3, 7)
    assert out.getvalue().splitlines() == ["3 files", "3 files of 7 files"]
    with bar(file=io.StringIO()):
        pass


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e12, "5000.0 GB")],
)
def test_amounts(number: float, text: str) -> None:
    """Bytes are shown in the unit that fits."""
    assert progress._amount(number, "B") == text


class Terminal(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a bar of rich, with what was told last."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    for unit, told in (("B", "2.0/2.0 MB"), ("files", "2000000/2000000 files")):
        out = Terminal()
        with bar(description="copy", unit=unit, file=out) as shown:
            shown.report(1_000_000, 2_000_000, note="half")
            shown.report(2_000_000)
        text = out.getvalue()
        assert "copy" in text
        assert told in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
        assert "━" in text


def test_without_rich() -> None:
    """The bar is lines, also in a terminal."""
    program = (
        "import sys; sys.modules['rich'] = None\n"
        "import io\n"
        "from broker.progress import bar\n"
        "class Terminal(io.StringIO):\n"
        "    def isatty(self): return True\n"
        "out = Terminal()\n"
        "with bar(file=out) as shown: shown.report(5)\n"
        "print(repr(out.getvalue()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "'5 B\\n'\n"
