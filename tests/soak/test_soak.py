"""The soak itself: it passes over what stays, and finds what grows; its proxy keeps to its seed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from pathlib import Path
from typing import Any

import pytest
from soak import page
from soak.chart import draw
from soak.drains import drain_once
from soak.gauge import Sample, in_use
from soak.idle import MEGABYTE, WARM, measure_idle
from soak.office import Root
from soak.proxy import FAULTS, FaultProxy
from soak.soak import Size, soak
from soak.verdict import faults, grows, slope


def sample(number: int, **more: int) -> Sample:
    """A cycle's end in a soak where nothing happens."""
    values = {"objects": 40_000, "tables": 3, "traced": 700_000, "resident": 60_000_000}
    return Sample(10.0 * number, **(values | more))


def noise(seed: int, count: int, width: int) -> list[int]:
    """Numbers that go up and down."""
    dice = random.Random(seed)
    return [dice.randrange(width) for _ in range(count)]


def test_what_stays_passes() -> None:
    """Noise, a step, and memory that is taken once are no growth."""
    wobble = noise(1, 60, 2000)
    samples = [
        sample(n, objects=40_000 + w, traced=700_000 + w + 5000 * (n > 30), resident=6_000_000 + w)
        for n, w in enumerate(wobble)
    ]
    assert faults(samples) == []


@pytest.mark.parametrize(
    ("attribute", "name"),
    [("objects", "live objects"), ("tables", "tables"), ("traced", "traced bytes")],
)
def test_what_grows_is_found(attribute: str, name: str) -> None:
    """A little more each cycle is growth, also below noise."""
    samples = [sample(n, **{attribute: 1000 + 4 * n + w}) for n, w in enumerate(noise(2, 60, 9))]
    (fault,) = faults(samples)
    assert fault.startswith(f"{name} grow from cycle to cycle: ")


@pytest.mark.parametrize(
    ("attribute", "name"), [("resident", "resident memory"), ("in_use", "memory in use")]
)
def test_the_slope_of_memory_is_found(attribute: str, name: str) -> None:
    """More than 1 MB an hour is found where it is certain; less is none, nor is a mere guess."""
    wobble = noise(3, 180, 20_000)

    def climbing(by: float, width: int) -> list[str]:
        rise = [int(by * 10 * n / 3600) + width * w for n, w in enumerate(wobble)]
        return faults([sample(n, **{attribute: 60_000_000 + r}) for n, r in enumerate(rise)])

    (fault,) = climbing(3e6, 1)
    assert fault.startswith(f"{name} grows by 3.0")
    assert climbing(0.5e6, 1) == []
    assert climbing(3e6, 300) == []


def test_what_is_in_use_is_seen() -> None:
    """The C library tells of what was taken from it, and of what was given back."""
    before = in_use()
    block = bytearray(50_000_000)
    assert in_use() - before > 49_000_000
    del block
    assert in_use() - before < 1_000_000


def test_the_slope() -> None:
    """The line through points on a line is that line; a few points say nothing."""
    exact = slope([(n, 5.0 + 2 * n) for n in range(20)])
    assert exact.value == pytest.approx(7200)
    assert exact.least == pytest.approx(exact.most)
    assert slope([(0, 1), (1, 5), (2, 2)]).most == math.inf
    steady = slope([(n, w) for n, w in enumerate(noise(4, 100, 100))])
    # What lasts for five cycles is one event, not five.
    lasting = slope([(n, noise(4, 100, 100)[n // 5]) for n in range(100)])
    assert lasting.most - lasting.least > 1.5 * (steady.most - steady.least)


def test_too_few_cycles() -> None:
    """With fewer cycles than parts nothing can be said."""
    with pytest.raises(ValueError, match="3 cycles after warm-up, of at least 4"):
        grows([1, 2, 3])


class Leaking(Root):
    """Keeps what it should not."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def remote_echo(self, *args: Any) -> Any:
        """Return the arguments, and keep a lot."""
        self.kept += ([each] for each in range(1000))
        return args


async def test_a_soak(tmp_path: Path) -> None:
    """A soak counts what visitors did, and nothing is left behind; it can be drawn."""
    size = Size(visitors=3, seconds=0.1, acts=3)

    done = await soak(1.0, 5, tmp_path, size)
    assert done.errors == []
    assert done.outcomes["connections"] > 3
    assert done.outcomes["acts"] > 10
    assert done.pieces > 50
    # What stays, once its references are told back: the root's cache at most.
    assert all(each.tables <= 6 for each in done.samples)
    draw(done.samples, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


async def test_a_server_that_leaks(tmp_path: Path) -> None:
    """What a server keeps of its visitors is among what is counted."""
    leaking = Leaking()
    kept: list[int] = []
    size = Size(visitors=2, seconds=0.1, acts=3)
    done = await soak(1.0, 6, tmp_path, size, leaking, lambda *told: kept.append(len(leaking.kept)))
    first, last = done.samples[0], done.samples[-1]
    assert kept[-1] - kept[0] >= 1000
    assert last.objects - first.objects > 0.5 * (kept[-1] - kept[0])
    assert last.traced > first.traced


async def talk(seed: int, rate: float) -> tuple[Any, int, list[bytes]]:
    """Send ten lines through a proxy to an echo, one after the other; return what came back."""
    handlers: set[Any] = set()

    async def echo(reader: Any, writer: Any) -> None:
        handlers.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = FaultProxy(server.sockets[0].getsockname()[1], seed, rate)
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    lines = []
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        for number in range(10):
            writer.write(b"line %d\n" % number)
            async with asyncio.timeout(1.0):
                lines.append(await reader.readexactly(7))
    writer.transport.abort()
    await proxy.settle(2.0)
    await proxy.close()
    server.close()
    await asyncio.gather(*handlers)
    return proxy.faults, proxy.pieces, lines


async def test_the_proxy_forwards() -> None:
    """Without faults everything arrives as it was."""
    found, pieces, lines = await talk(1, 0.0)
    assert not found
    assert pieces >= 20
    assert lines == [b"line %d\n" % number for number in range(10)]


async def test_the_proxy_harms() -> None:
    """With faults something does not; which, depends on the seed alone."""
    first = await talk(3, 0.3)
    assert set(first[0]) <= set(FAULTS)
    assert sum(first[0].values()) >= 1
    assert first[2] != [b"line %d\n" % number for number in range(10)]


async def test_a_drain() -> None:
    """A busy server that is told to end has done what it acknowledged, and nothing else."""
    counted = await drain_once(random.Random(1))
    assert counted["answered"] > 200
    assert counted["calls"] == counted["answered"] + counted["refused"] + counted["cut"]
    assert [counted[key] for key in ("lost", "undone", "untold", "denied")] == [0, 0, 0, 0]


async def test_idle_connections() -> None:
    """What an idle connection takes is measured in the process of its server and of its client."""
    measured = await measure_idle(8)
    assert measured["connections"] == WARM + 8
    assert set(measured) == {"connections", "server_kib", "client_kib"}


async def test_idle_connections_after_data() -> None:
    """A connection that is idle after 1 MB each way takes no more than 63 KiB at the server.

    One after the other: free space that concurrent large messages leave is not of a connection.
    """
    measured = await measure_idle(100, MEGABYTE, at_a_time=1)
    assert measured["connections"] == WARM + 100
    assert measured["server_kib"] <= 63


def test_the_page(tmp_path: Path) -> None:
    """Each kind of run has its part of the page, the newest first."""
    about = {"date": "2026-11-25T23:00:00+00:00", "commit": "0123456789"}
    idle = {"kind": "idle", "connections": 2016, "server_kib": 50.5, "client_kib": 60.0}
    later = {"server_after_kib": 61.5, "client_after_kib": 70.0}
    page.append(tmp_path, {**about, "command": "make idle", **idle})
    page.append(tmp_path, {**about, "command": "make idle", **idle, "server_kib": 40.0, **later})
    samples = [[10.0 * n, 40_000, 3, 700_000, 60_000_000] for n in range(20)]
    outcomes = {"connections": 7, "acts": 70, "PBConnectionLost": 2}
    soaked = {"kind": "soak", "seed": 5, "found": [], "outcomes": outcomes, "faults": {"cut": 2}}
    soaked |= {"pieces": 300, "samples": samples}
    page.append(tmp_path, {**about, "command": "make soak MINUTES=1", **soaked})
    told = [[*each, 20_000_000] for each in samples]
    page.append(tmp_path, {**about, "command": "make soak MINUTES=1", **soaked, "samples": told})
    page.write(tmp_path)
    text = (tmp_path / "soak.md").read_text("utf-8")
    assert text.index("| 40 | 60 | 61.5 | 70 |") < text.index("| 50.5 | 60 |  |  |")
    flat = "0.00 (0.00 to 0.00)"
    assert f"| 5 | 20 | 7 | {flat} |  | none |" in text
    assert f"| 5 | 20 | 7 | {flat} | {flat} | none |" in text
    assert "300 pieces were forwarded, and 2 met a fault (2 × cut)" in text
    assert "2 × `PBConnectionLost`" in text
    assert "Draining" not in text
