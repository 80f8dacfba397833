"""``broker.Files``: what peers can do with a served folder, and what no peer can."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.defer import CancelledError
from broker.errors import ConfigError

DATA = bytes(range(256)) * 1_000
POLICIES = {"strict": broker.STRICT, "published": broker.PUBLISHED}

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder to be served, with a file outside it."""
    (tmp_path / "root" / "inner").mkdir(parents=True)
    (tmp_path / "root" / "song").write_bytes(DATA)
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "root"


@asynccontextmanager
async def served(
    files: broker.Files, dialect: str, policy: broker.Policy = broker.STRICT
) -> AsyncIterator[broker.RemoteReference]:
    """Serve a folder, and yield the reference of a client to it."""
    policy = policy.but(dialects=(dialect,))
    async with (
        broker.serve(files, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        yield connection.root


async def read(files: broker.RemoteReference, name: str, *start: int) -> bytes:
    """Read a file of a server."""
    return b"".join([piece async for piece in files.callRemote("read", name, *start)])


async def pieces(*data: object, gate: asyncio.Event | None = None) -> AsyncIterator[Any]:
    """Yield pieces; wait for the gate, if there is one, before the last one."""
    for number, piece in enumerate(data, 1):
        if gate is not None and number == len(data):
            await gate.wait()
        yield piece


async def until(condition: Any) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def in_folder(root: Path) -> set[str]:
    """Return the names in a folder, and those that begin with a dot by their ends."""
    return {name if name[0] != "." else Path(name).suffix for name in os.listdir(root)}


@pytest.mark.parametrize("policy", POLICIES)
async def test_reading(root: Path, dialect: str, policy: str) -> None:
    """A folder is listed, and its files are described and read, from any byte on."""
    (root / "inner" / "empty").touch()
    async with served(broker.Files(root), dialect, POLICIES[policy]) as files:
        entries = {each["name"]: each async for each in files.callRemote("list")}
        assert {name: each["kind"] for name, each in entries.items()} == {
            "song": "file",
            "inner": "folder",
        }
        assert entries["song"]["size"] == len(DATA)
        assert [each["name"] async for each in files.callRemote("list", "inner")] == ["empty"]
        found = await files.callRemote("stat", "song")
        assert found == {
            "kind": "file",
            "size": len(DATA),
            "modified": (root / "song").stat().st_mtime,
        }
        assert await read(files, "song") == DATA
        assert await read(files, "song", 1_000) == DATA[1_000:]
        assert await read(files, "song", len(DATA)) == b""
        assert await read(files, "inner/empty") == b""
        digest = await files.callRemote("digest", "song", 500)
        assert digest == hashlib.sha256(DATA[:500]).hexdigest()


async def test_the_size_is_told(root: Path, dialect: str) -> None:
    """A reader learns the size, if the dialect has it; a file that grows meanwhile has no more."""
    async with served(broker.Files(root), dialect) as files:
        stream = broker.stream_of(await files.callRemote("read", "song", 56))
        if dialect != "pb":
            assert stream.size == len(DATA) - 56
        with (root / "song").open("ab") as file:
            file.write(b"more")
        assert b"".join([piece async for piece in stream]) == DATA[56:]


@pytest.mark.parametrize("policy", POLICIES)
async def test_writing(root: Path, dialect: str, policy: str) -> None:
    """A stream becomes a file, and replaces another one, with all its bytes or not at all."""
    async with served(broker.Files(root, writable=True), dialect, POLICIES[policy]) as files:
        for path, before in ((root / "inner" / "new", set()), (root / "song", {"song", "inner"})):
            gate = asyncio.Event()
            name = str(path.relative_to(root))
            writing = files.callRemote("write", name, pieces(b"one, ", b"", b"two", gate=gate))
            while in_folder(path.parent) != before | {".tmp"}:
                await asyncio.sleep(0.005)
            assert not path.exists() or path.read_bytes() == DATA
            gate.set()
            assert await writing == 8
            assert path.read_bytes() == b"one, two"
    assert in_folder(root) == {"song", "inner"}
    assert in_folder(root / "inner") == {"new"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "name",
    ["../secret", "link", "outer/secret", "/etc/passwd", "inner/../../secret", "..", "", "fifo"],
)
async def test_ways_out(root: Path, dialect: str, policy: str, name: str) -> None:
    """No name leads out of the folder or blocks a thread; no text has a path of the server."""
    (root / "link").symlink_to(root.parent / "secret")
    (root / "outer").symlink_to(root.parent)
    os.mkfifo(root / "fifo")
    async with served(broker.Files(root, writable=True), dialect, POLICIES[policy]) as files:
        calls: list[Any] = [
            ("read", name), ("stat", name), ("digest", name, 1), ("digest", name, 0, True),
            ("write", name, pieces(b"x")), ("write", name, pieces(b"x"), 0),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises((broker.NoSuchFile, broker.FileRefused)) as caught:
                await files.callRemote(*call)
            assert "/root" not in str(caught.value)
            assert "secret" not in str(caught.value)
    assert (root.parent / "secret").read_bytes() == b"secret"
    assert set(os.listdir(root.parent)) == {"root", "secret"}
    assert in_folder(root) == {"song", "inner", "link", "outer", "fifo"}


@pytest.mark.parametrize(
    "call",
    [
        ("read", "song", -1),
        ("read", "song", len(DATA) + 1),
        ("read", "song", 1.0),
        ("read", "song", True),
        ("read", None),
        ("read", b"song"),
        ("list", ["inner"]),
        ("digest", "song", len(DATA) + 1),
        ("digest", "song", None),
    ],
)
async def test_wrong_arguments(root: Path, dialect: str, call: tuple[Any, ...]) -> None:
    """Arguments of another type or range are refused."""
    async with served(broker.Files(root), dialect) as files:
        with pytest.raises(broker.FileRefused):
            called = files.callRemote(*call)
            if call[0] == "list":
                await anext(aiter(called))
            await called


async def test_a_folder_that_is_read_only(root: Path, dialect: str) -> None:
    """Nothing is written, and the stream is stopped unread."""
    closed = asyncio.Event()

    class Items(AsyncIterator[bytes]):
        """Has no end."""

        async def __anext__(self) -> bytes:
            return b"x"

        async def aclose(self) -> None:
            """Take note of it."""
            closed.set()

        def __del__(self) -> None:
            closed.set()

    async with served(broker.Files(root), dialect) as files:
        for call in (("write", "new", broker.Stream(Items())), ("partial", "new")):
            with pytest.raises(broker.FileRefused, match="this folder is read-only"):
                await files.callRemote(*call)
        await asyncio.wait_for(closed.wait(), 20)
    assert in_folder(root) == {"song", "inner"}


async def test_what_is_not_a_stream(root: Path, dialect: str) -> None:
    """Another argument is a mistake of the caller."""
    async with served(broker.Files(root, writable=True), dialect) as files:
        with pytest.raises(broker.RemoteError, match="'items' is not a stream"):
            await files.callRemote("write", "new", b"data")


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ((b"a", "b"), "a file has bytes, not str"),
        ((b"a", 1), "a file has bytes, not int"),
        ((b"a", b"b" * 100), "a file may have 100 bytes"),
        ((b"a" * 101,), "a file may have 100 bytes"),
    ],
)
@pytest.mark.parametrize("start", [None, 0])
async def test_a_stream_that_is_refused(
    root: Path, dialect: str, items: tuple[Any, ...], error: str, start: int | None
) -> None:
    """A stream of something else, or of too many bytes, leaves the file that was there."""
    files_ = broker.Files(root, writable=True, most=100)
    async with served(files_, dialect) as files:
        with pytest.raises(broker.FileRefused, match=error):
            await files.callRemote("write", "song", pieces(*items), start)
    assert (root / "song").read_bytes() == DATA
    assert in_folder(root) == {"song", "inner"} | ({".part"} if start == 0 else set())


@pytest.mark.parametrize("size", [1, 3, 101])
async def test_a_size_that_is_not_true(root: Path, dialect: str, size: int) -> None:
    """A stream with another size than it has told is no file; in PB's dialects none is told."""
    files_ = broker.Files(root, writable=True, most=100)
    async with served(files_, dialect) as files:
        call = files.callRemote("write", "new", broker.Stream(pieces(b"ab"), size=size))
        if dialect == "pb":
            assert await call == 2
            return
        with pytest.raises(broker.FileRefused, match=r"2 of .* bytes came|may have 100 bytes"):
            await call
    assert in_folder(root) == {"song", "inner"}


async def test_a_sender_that_fails(root: Path, dialect: str) -> None:
    """The error of a sender comes back to it, and nothing is left."""

    async def items() -> AsyncIterator[bytes]:
        yield b"half"
        raise broker.Error("my disk is bad")

    async with served(broker.Files(root, writable=True), dialect) as files:
        with pytest.raises(broker.Error, match="my disk is bad"):
            await files.callRemote("write", "new", items())
    assert in_folder(root) == {"song", "inner"}


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_sender_that_goes_away(root: Path, dialect: str, policy: str) -> None:
    """The end of the connection ends the upload, and nothing is left."""
    files_ = broker.Files(root, writable=True)
    async with served(files_, dialect, POLICIES[policy]) as files:
        writing = files.callRemote("write", "new", pieces(b"a", b"b", gate=asyncio.Event()))
        await until(lambda: ".tmp" in in_folder(root))
        files.broker.transport.abortConnection()
        with pytest.raises(broker.PBConnectionLost):
            await writing
        await until(lambda: in_folder(root) == {"song", "inner"})


async def test_a_call_that_is_cancelled(root: Path, dialect: str) -> None:
    """A caller that gives up leaves nothing, once the server knows."""
    async with served(broker.Files(root, writable=True), dialect) as files:
        writing = files.callRemote("write", "new", pieces(b"a", b"b", gate=asyncio.Event()))
        await until(lambda: ".tmp" in in_folder(root))
        writing.cancel()
        with pytest.raises(CancelledError):
            await writing
        if dialect == "pb":
            # It has no message for this; the server knows at the end of the connection.
            await files.broker.connection.close()
        await until(lambda: in_folder(root) == {"song", "inner"})


async def test_a_sender_that_sends_nothing(root: Path, dialect: str) -> None:
    """Without bytes for some time, an upload is ended; empty pieces do not count."""

    async def items() -> AsyncIterator[bytes]:
        yield b"a"
        while True:
            await asyncio.sleep(0)
            yield b""

    async with served(broker.Files(root, writable=True, idle=0.2), dialect) as files:
        with pytest.raises(broker.FileRefused, match=r"no bytes came in 0\.2 s"):
            await files.callRemote("write", "new", items())
    assert in_folder(root) == {"song", "inner"}


async def test_a_slow_sender(root: Path, dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each bytes that come, the sender has its time again."""
    limits: list[asyncio.Timeout] = []
    ends: list[float | None] = []
    timeout = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        limits.append(timeout(seconds))
        ends.append(limits[-1].when())
        return limits[-1]

    gate = asyncio.Event()
    async with served(broker.Files(root, writable=True, idle=20), dialect) as files:
        with monkeypatch.context() as patch:
            patch.setattr("broker.served_files.asyncio.timeout", noted)
            writing = files.callRemote("write", "new", pieces(b"a", b"b", gate=gate))
            while not limits:
                await asyncio.sleep(0.005)
        while limits[0].when() == ends[0]:
            await asyncio.sleep(0.005)
        gate.set()
        assert await writing == 2


async def test_a_reader_that_takes_nothing(root: Path, dialect: str) -> None:
    """A file of which nothing is taken for some time is closed, and the stream ends so."""
    files_ = broker.Files(root, idle=0.2)
    (root / "song").write_bytes(DATA * 20)
    async with served(files_, dialect) as files:
        stream = broker.stream_of(await files.callRemote("read", "song"))
        with pytest.raises(broker.FileRefused, match=r"nothing was taken in 0\.2 s"):
            await anext(stream)
            await until(lambda: not len(files_._slots))
            async for _ in stream:
                pass


async def test_a_listing_that_is_not_taken(root: Path, dialect: str) -> None:
    """The same holds for the entries of a folder; a listing that goes on is not ended."""
    for number in range(2_000):
        (root / f"file{number:04}").touch()
    files_ = broker.Files(root, idle=0.2)
    async with served(files_, dialect) as files:
        listing = broker.stream_of(await files.callRemote("list"))
        with pytest.raises(broker.FileRefused, match="nothing was taken"):
            await anext(listing)
            await until(lambda: not len(files_._slots))
            async for _ in listing:
                pass
        files_._idle = 300.0
        names = {entry["name"] async for entry in files.callRemote("list")}
        assert len(names) == 2_002
        assert len(files_._slots) == 0


async def test_open_files_are_bounded(root: Path, dialect: str) -> None:
    """So many files are open at once, and one that is closed makes room; so does a lost reader."""
    files_ = broker.Files(root, writable=True, open_files=2)
    (root / "song").write_bytes(DATA * 20)
    async with served(files_, dialect) as files:
        first = broker.stream_of(await files.callRemote("read", "song"))
        second: Any = broker.stream_of(await files.callRemote("read", "song"))
        calls: list[Any] = [("read", "song"), ("write", "new", pieces(b"")), ("digest", "song", 1)]
        for call in calls:
            with pytest.raises(broker.FileRefused, match="too many files are open"):
                await files.callRemote(*call)
        await first.stop()
        await until(lambda: len(files_._slots) == 1)
        del second
        gc.collect()
        await until(lambda: len(files_._slots) == 0)
        assert await read(files, "song") == DATA * 20
        broker.stream_of(await files.callRemote("read", "song"))
    await until(lambda: len(files_._slots) == 0)


async def test_files_of_the_folder_are_bounded(root: Path, dialect: str) -> None:
    """No file more is added than there may be; one that is there may be replaced."""
    files_ = broker.Files(root, writable=True, most_files=3)
    async with served(files_, dialect) as files:
        await files.callRemote("write", "third", pieces(b"x"))
        with pytest.raises(broker.FileRefused, match="the folder has 3 files"):
            await files.callRemote("write", "fourth", pieces(b"x"))
        await files.callRemote("write", "third", pieces(b"y"))
    assert in_folder(root) == {"song", "inner", "third"}


async def test_a_folder_with_too_many_files(root: Path, dialect: str) -> None:
    """If there are more files than may be counted, nothing is written."""
    async with served(broker.Files(root, writable=True, most_files=1), dialect) as files:
        with pytest.raises(broker.FileRefused, match="the folder has over 1 files"):
            await files.callRemote("write", "song", pieces(b"x"))
    assert (root / "song").read_bytes() == DATA


async def test_bytes_of_the_folder_are_bounded(root: Path, dialect: str) -> None:
    """All files together have no more bytes than they may, with uploads at once and broken ones."""
    room = 1_000
    files_ = broker.Files(root, writable=True, most_bytes=len(DATA) + room)
    async with served(files_, dialect) as files:
        results = await asyncio.gather(
            *(files.callRemote("write", f"new{n}", pieces(b"x" * 300), n % 2 or None)
              for n in range(0, 20, 2)),
            return_exceptions=True,
        )  # fmt: skip
        assert [result for result in results if isinstance(result, int)] == [300] * 3
        sizes = [path.stat().st_size for path in root.rglob("*") if path.is_file()]
        assert sum(sizes) == len(DATA) + 900
        with pytest.raises(broker.FileRefused, match="bytes \\(most_bytes\\)"):
            await files.callRemote("write", "last", pieces(b"x" * 101), 0)
        await files.callRemote("write", "last", pieces(b"x" * 100))


async def test_a_folder_is_measured_again(root: Path, dialect: str) -> None:
    """After some time the folder is counted again: what was removed there makes room."""
    files_ = broker.Files(root, writable=True, most_bytes=len(DATA) + 10)
    async with served(files_, dialect) as files:
        with pytest.raises(broker.FileRefused):
            await files.callRemote("write", "new", pieces(b"x" * 11))
        (root / "song").unlink()
        files_._room._counted_at -= 10
        assert await files.callRemote("write", "new", pieces(b"x" * 11)) == 11


async def test_writers_of_one_name(root: Path, dialect: str) -> None:
    """Of many that write one name at once, each is whole, and the last one to end is kept."""
    gates = [asyncio.Event() for _ in range(5)]
    async with served(broker.Files(root, writable=True), dialect) as files:
        writing = [
            files.callRemote("write", "song", pieces(*[bytes([n]) * 70_000] * 3, gate=gate))
            for n, gate in enumerate(gates)
        ]
        await until(lambda: len(os.listdir(root)) == 7)
        for n in (3, 1, 4, 0, 2):
            gates[n].set()
            assert await writing[n] == 210_000
            assert (root / "song").read_bytes() == bytes([n]) * 210_000
    assert in_folder(root) == {"song", "inner"}


async def test_resuming(root: Path, dialect: str) -> None:
    """Bytes of a broken upload are kept, and taken up once: by the first that goes on."""

    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:100]
        await until(lambda: any(path.stat().st_size for path in root.glob(".*.tmp")))
        raise broker.Error("broken")

    async with served(broker.Files(root, writable=True), dialect) as files:
        assert await files.callRemote("partial", "new") == 0
        with pytest.raises(broker.Error, match="broken"):
            await files.callRemote("write", "new", broken(), start=0)
        assert await files.callRemote("partial", "new") == 100
        kept = await files.callRemote("digest", "new", 100, partial=True)
        assert kept == hashlib.sha256(DATA[:100]).hexdigest()
        for start in (99, 101):
            with pytest.raises(broker.FileRefused, match="100 bytes of the file are there"):
                await files.callRemote("write", "new", pieces(b"x"), start)
        gate = asyncio.Event()
        first = files.callRemote("write", "new", pieces(DATA[100:], gate=gate), 100)
        await until(lambda: ".part" not in in_folder(root))
        with pytest.raises(broker.NoSuchFile):
            await files.callRemote("write", "new", pieces(DATA[100:]), 100)
        gate.set()
        assert await first == len(DATA)
    assert (root / "new").read_bytes() == DATA
    assert in_folder(root) == {"song", "inner", "new"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("most", 0), ("most_files", -1), ("most_bytes", 1.5), ("open_files", True), ("idle", "1")],
)
def test_wrong_settings(root: Path, dialect: str, setting: str, value: Any) -> None:
    """A setting that is not a positive number is a mistake, told at once."""
    with pytest.raises(ConfigError, match=f"{setting}={value!r}: give a .*number above 0"):
        broker.Files(root, **{setting: value})


def test_no_folder(root: Path, dialect: str) -> None:
    """A folder that is not there, or is a file, is a mistake."""
    for path in (root / "none", root / "song"):
        with pytest.raises(ConfigError, match="there is no folder "):
            broker.Files(path)
