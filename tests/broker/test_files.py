"""Files as streams: sizes, names, modes, resuming, and that nothing is half-written."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker import files

DATA = bytes(range(256)) * 1000


async def pieces(*data: Any, error: BaseException | None = None) -> AsyncIterator[Any]:
    """Some items; then an error."""
    for each in data:
        yield each
    if error is not None:
        raise error


async def generators() -> None:
    """Wait for the end of the generators: each waits for the thread that reads its piece."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)


def left(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(each.name for each in folder.iterdir())


class Store(broker.Root):
    """Takes and gives files."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.failed: BaseException | None = None

    def remote_fetch(self, start: int = 0) -> Any:
        """Return a file."""
        return broker.read_file(self.folder / "there", start=start)

    async def remote_store(self, data: Any) -> int:
        """Keep a file."""
        try:
            return await broker.write_file(data, self.folder / "stored", most=1_000_000)
        except BaseException as error:
            self.failed = error
            raise


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_there_and_back(dialect: str, tmp_path: Path) -> None:
    """A file crosses both ways, with its size and progress."""
    (tmp_path / "there").write_bytes(DATA)
    reports: list[Any] = []

    class Reports:
        def report(self, done: float, total: float | None = None, note: str = "") -> None:
            reports.append((done, total))

    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Store(tmp_path), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        call = connection.root.callRemote("fetch")
        assert await broker.write_file(call, tmp_path / "here", progress=Reports()) == len(DATA)
        assert (tmp_path / "here").read_bytes() == DATA
        is_known = dialect == "msgpack/1"
        assert reports[-1] == (len(DATA), len(DATA) if is_known else None)
        stored = await connection.root.callRemote("store", broker.read_file(tmp_path / "here"))
        assert stored == len(DATA)
        assert (tmp_path / "stored").read_bytes() == DATA
        assert left(tmp_path) == ["here", "stored", "there"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_upload_that_is_too_large(dialect: str, tmp_path: Path) -> None:
    """The server stops it, and the file that was there is whole."""
    (tmp_path / "stored").write_bytes(b"before")
    large = tmp_path / "large"
    large.write_bytes(bytes(2_000_000))
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Store(tmp_path), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        with pytest.raises(broker.RemoteError, match=r"file of more than 1000000 bytes \(most\)"):
            await connection.root.callRemote("store", broker.read_file(large))
    assert (tmp_path / "stored").read_bytes() == b"before"
    assert left(tmp_path) == ["large", "stored"]
    await generators()


@pytest.mark.parametrize("cut", range(0, 2_000, 97))
async def test_a_connection_that_is_cut(cut: int, tmp_path: Path) -> None:
    """No part of the file is left, and the one that was there is whole."""
    (tmp_path / "there").write_bytes(DATA)
    (tmp_path / "here").write_bytes(b"before")
    async with broker.serve(Store(tmp_path), "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        stream = await connection.root.callRemote("fetch")
        writing = asyncio.ensure_future(broker.write_file(stream, tmp_path / "here"))
        for _ in range(cut // 97):
            await asyncio.sleep(0)
        connection.broker.transport.abortConnection()
        try:
            await writing
        except broker.PBConnectionLost:
            assert (tmp_path / "here").read_bytes() == b"before"
        else:
            assert (tmp_path / "here").read_bytes() == DATA
        assert left(tmp_path) == ["here", "there"]
    await generators()


@pytest.mark.parametrize(
    ("items", "error", "kind"),
    [
        ([b"a", "text"], None, TypeError),
        ([b"a", 5], None, TypeError),
        ([b"a"], ValueError("no"), ValueError),
        ([b"a"], asyncio.CancelledError(), asyncio.CancelledError),
        ([b"x" * 11], None, broker.TooLarge),
        ([b"x" * 10, b"x"], None, broker.TooLarge),
    ],
)
async def test_what_fails(
    items: list[Any], error: BaseException | None, kind: type[BaseException], tmp_path: Path
) -> None:
    """Nothing is left."""
    with pytest.raises(kind):
        await broker.write_file(pieces(*items, error=error), tmp_path / "new", most=10)
    assert left(tmp_path) == []


async def test_sizes(tmp_path: Path) -> None:
    """A stream that ends before its size, or behind it, is an error; one too large is not begun."""
    for size, came in ((2000, 1000), (500, 1000)):
        with pytest.raises(EOFError, match=rf"^1000 of {size} bytes came$"):
            await broker.write_file(broker.Stream(pieces(bytes(came)), size=size), tmp_path / "new")
    taken: list[int] = []

    async def counted() -> AsyncIterator[bytes]:
        taken.append(1)
        yield b""

    with pytest.raises(broker.TooLarge) as caught:
        await broker.write_file(broker.Stream(counted(), size=11), tmp_path / "new", most=10)
    assert (caught.value.limit, caught.value.most, caught.value.got) == ("most", 10, 11)
    assert (taken, left(tmp_path)) == ([], [])


async def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is an error of the system; nothing is left."""

    def full(self: Any, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files._Target, "write", full)
    with pytest.raises(OSError, match="No space left"):
        await broker.write_file(pieces(b"a"), tmp_path / "new")
    assert left(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        await broker.write_file(pieces(b"a"), tmp_path / "nowhere" / "new")


async def test_modes(tmp_path: Path) -> None:
    """While it is written the file is its owner's; then it has the mode of the one before."""
    seen: list[int] = []

    async def looking() -> AsyncIterator[bytes]:
        yield b"a"
        (beside,) = tmp_path.glob(".*.tmp")
        seen.append(stat.S_IMODE(beside.stat().st_mode))
        yield b"b"

    before = os.umask(0o027)
    try:
        await broker.write_file(looking(), tmp_path / "new")
        (tmp_path / "old").write_bytes(b"")
        (tmp_path / "old").chmod(0o755)
        await broker.write_file(pieces(b"x"), tmp_path / "old")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")]
    assert (seen, modes) == ([0o600], [0o640, 0o755])
    assert left(tmp_path) == ["new", "old"]


async def test_resuming(tmp_path: Path) -> None:
    """What came is kept beside the name, and the sender goes on from there."""
    (tmp_path / "there").write_bytes(DATA)
    path = tmp_path / "here"
    assert files.partial_size(path) == 0
    first = pieces(DATA[:1000], DATA[1000:1500], error=ConnectionError("cut"))
    with pytest.raises(ConnectionError):
        await broker.write_file(first, path, resume=True)
    assert (files.partial_size(path), path.exists()) == (1500, False)
    rest = broker.read_file(tmp_path / "there", start=1500)
    assert rest.size == len(DATA) - 1500
    with pytest.raises(broker.TooLarge):
        await broker.write_file(broker.Stream(pieces(), size=10), path, resume=True, most=1509)
    assert await broker.write_file(rest, path, resume=True) == len(DATA) - 1500
    assert path.read_bytes() == DATA
    assert left(tmp_path) == ["here", "there"]
    await broker.write_file(pieces(b"whole"), path, resume=True)
    assert path.read_bytes() == b"whole"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """It is told when the stream is made."""
    with pytest.raises(FileNotFoundError):
        broker.read_file(tmp_path / "nothing")
    (tmp_path / "some").write_bytes(b"some")
    for start in (-1, 5):
        with pytest.raises(ValueError, match=rf"^start={start} is not in the file"):
            broker.read_file(tmp_path / "some", start=start)
    with pytest.raises(ValueError, match=r"^a piece has at least 1 byte$"):
        broker.read_file(tmp_path / "some", 0)


async def test_reading_is_in_a_thread_and_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is opened with the first piece, read elsewhere, and closed at each end."""
    (tmp_path / "some").write_bytes(DATA)
    threads: list[int] = []
    opened: list[Any] = []
    real = Path.open

    def noted(self: Path, *args: Any) -> Any:
        threads.append(threading.get_ident())
        opened.append(real(self, *args))
        return opened[-1]

    monkeypatch.setattr(Path, "open", noted)
    stream: Any = broker.read_file(tmp_path / "some", 1000)
    assert opened == []
    iterator = aiter(stream.items)
    assert await anext(iterator) == DATA[:1000]
    assert threads[0] != threading.get_ident()
    await iterator.aclose()
    assert opened[0].closed
    assert b"".join([each async for each in broker.read_file(tmp_path / "some").items]) == DATA
    assert opened[1].closed


async def test_a_cancelled_write_waits_for_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is removed when no thread uses it any more."""
    begun, go_on = threading.Event(), threading.Event()
    real = files._Target.write

    def slow(self: Any, data: bytes) -> None:
        begun.set()
        go_on.wait(10)
        real(self, data)

    monkeypatch.setattr(files._Target, "write", slow)
    writing = asyncio.ensure_future(broker.write_file(pieces(b"a"), tmp_path / "new"))
    await asyncio.to_thread(begun.wait, 10)
    writing.cancel()
    await asyncio.sleep(0)
    assert not writing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert left(tmp_path) == []
