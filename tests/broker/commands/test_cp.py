"""``pb cp``: what it copies, in both directions, and the status that it ends with."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from support.runner import Runner
from support.terminal import at_a_terminal

import broker
from broker.commands.cp import cp
from broker.files import partial_size
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal

DATA = bytes(range(256)) * 1_000
DIALECTS = ("msgpack/1", "pb")


@pytest.fixture(params=DIALECTS)
def policy(request: pytest.FixtureRequest) -> broker.Policy:
    """Return the policy of a server with one dialect."""
    return broker.STRICT.but(dialects=(request.param,))


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Return the folder that is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


async def run(
    target: Any,
    *arguments: str,
    typed: str = "",
    policy: broker.Policy = broker.STRICT,
    address: str = "pb://127.0.0.1:0",
    tls: broker.TLS | None = None,
) -> tuple[int, str, str]:
    """Copy while a server runs, whose address replaces HOST; return status, output and errors."""
    async with broker.serve(target, address, tls=tls, policy=policy) as server:
        command = [each.replace("HOST", server.addresses[0]) for each in arguments]
        result = await asyncio.to_thread(Runner().invoke, cp, command, input=typed)
    return result.exit_code, result.stdout, result.stderr


def names(folder: Path) -> set[str]:
    """Return the names in a folder, those with a dot too."""
    return set(os.listdir(folder))


async def test_there_and_back(tmp_path: Path, served: Path, policy: broker.Policy) -> None:
    """A file goes to the server and comes back, whole, and nothing else is left or printed."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(DATA)
    files = broker.Files(served, writable=True)
    assert await run(files, str(first), "HOST/there", policy=policy) == (0, "", "")
    assert (served / "there").read_bytes() == DATA
    assert await run(files, "HOST/there", str(second), policy=policy) == (0, "", "")
    assert second.read_bytes() == DATA
    assert names(served) == {"there"}
    assert names(tmp_path) == {"served", "first", "second"}


async def test_folders(tmp_path: Path, served: Path) -> None:
    """A target that is a folder, at either side, has the file by its own name."""
    (tmp_path / "song").write_bytes(DATA)
    (served / "inner").mkdir()
    (tmp_path / "here").mkdir()
    files = broker.Files(served, writable=True)
    assert (await run(files, str(tmp_path / "song"), "HOST"))[0] == 0
    assert (await run(files, str(tmp_path / "song"), "HOST/inner/"))[0] == 0
    assert (await run(files, "HOST/inner/song", str(tmp_path / "here")))[0] == 0
    for copy in (served / "song", served / "inner" / "song", tmp_path / "here" / "song"):
        assert copy.read_bytes() == DATA


async def test_an_empty_file(tmp_path: Path, served: Path, policy: broker.Policy) -> None:
    """A file without bytes is a file."""
    (tmp_path / "empty").touch()
    files = broker.Files(served, writable=True)
    assert (await run(files, str(tmp_path / "empty"), "HOST/empty", policy=policy))[0] == 0
    assert (await run(files, "HOST/empty", str(tmp_path / "back"), policy=policy))[0] == 0
    assert (tmp_path / "back").read_bytes() == b""


async def test_a_login(tmp_path: Path, served: Path) -> None:
    """It logs in as ``pb call`` does; without a login the status is 4, and the text says more."""
    (tmp_path / "song").write_bytes(DATA)
    files = broker.Files(served, writable=True)
    users = InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    portal = Portal(broker.realm(lambda name, mind: files), [users, AllowAnonymousAccess()])
    copy = (str(tmp_path / "song"), "HOST/song")
    login = ("--user", "alice", "--password-file", "-")
    assert await run(portal, *copy, *login, typed="wonderland\n") == (0, "", "")
    assert (served / "song").read_bytes() == DATA
    status, _, errors = await run(portal, *copy, *login, typed="looking glass\n")
    assert (status, errors) == (4, "pb cp: wrong user name or password\n")
    status, _, errors = await run(portal, *copy)
    assert status == 4
    assert "log in with --user" in errors
    assert (await run(portal, "HOST/song", str(tmp_path / "back"), "--anonymous"))[0] == 0


async def test_over_tls(tmp_path: Path, served: Path, certificates: Path) -> None:
    """Over pbs:// the server is trusted by --ca."""
    tls = broker.TLS.server(certificates / "server.pem", certificates / "server.key")
    (served / "song").write_bytes(DATA)
    copy = ("HOST/song", str(tmp_path / "back"))
    trusting = ("--ca", str(certificates / "ca.pem"))
    copied = await run(broker.Files(served), *copy, *trusting, tls=tls, address="pbs://localhost:0")
    assert copied == (0, "", "")
    assert (tmp_path / "back").read_bytes() == DATA


async def test_over_websocket(tmp_path: Path, served: Path) -> None:
    """The path of a WebSocket ends at two slashes; without them it is the root."""
    (served / "inner").mkdir()
    (served / "inner" / "song").write_bytes(DATA)
    for address, host in (("ws://127.0.0.1:0/pb", "HOST//"), ("ws://127.0.0.1:0/", "HOST")):
        copy = (f"{host}inner/song", str(tmp_path / "back"))
        assert (await run(broker.Files(served), *copy, address=address)) == (0, "", "")
        assert (tmp_path / "back").read_bytes() == DATA
        (tmp_path / "back").unlink()


async def test_a_unix_socket(tmp_path: Path, served: Path) -> None:
    """The name stands behind the path of the socket."""
    (served / "inner").mkdir()
    (served / "inner" / "song").write_bytes(DATA)
    address = f"pb+unix://{tmp_path}/socket"
    copy = ("HOST/inner/song", str(tmp_path / "back"))
    assert (await run(broker.Files(served), *copy, address=address))[0] == 0
    assert (tmp_path / "back").read_bytes() == DATA


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nothing", "NoSuchFile: no such file"),
        ("inner", "FileRefused: it is a folder"),
        ("../secret", 'FileRefused: a part of a name does not begin with "."'),
        ("link", "NoSuchFile: no such file"),
    ],
)
async def test_the_server_refuses(tmp_path: Path, served: Path, name: str, error: str) -> None:
    """What the server does not give has status 1; its reason is printed; nothing is written."""
    (tmp_path / "secret").write_text("secret")
    (served / "inner").mkdir()
    (served / "link").symlink_to(tmp_path / "secret")
    status, out, told = await run(broker.Files(served), f"HOST/{name}", str(tmp_path / "back"))
    assert (status, out, told) == (1, "", f"{error}\n")
    assert names(tmp_path) == {"served", "secret"}


async def test_a_folder_that_is_read_only(tmp_path: Path, served: Path) -> None:
    """Without ``writable`` nothing is taken."""
    (tmp_path / "song").write_bytes(DATA)
    status, _, errors = await run(broker.Files(served), str(tmp_path / "song"), "HOST/song")
    assert (status, errors) == (1, "FileRefused: this folder is read-only\n")
    assert names(served) == set()


async def test_too_large(tmp_path: Path, served: Path, policy: broker.Policy) -> None:
    """A file beyond the bound is refused, and the one of that name is as it was."""
    (tmp_path / "song").write_bytes(DATA)
    (served / "song").write_bytes(b"old")
    files = broker.Files(served, writable=True, most=1_000)
    copy = (str(tmp_path / "song"), "HOST/song")
    status, _, errors = await run(files, *copy, policy=policy)
    assert (status, errors) == (1, "FileRefused: a file may have 1000 bytes (most)\n")
    assert (served / "song").read_bytes() == b"old"
    assert names(served) == {"song"}


async def test_a_server_without_files(tmp_path: Path) -> None:
    """A server that serves something else has no such method."""
    status, _, errors = await run(broker.Root(), "HOST/song", str(tmp_path / "back"))
    assert status == 1
    assert errors.startswith("NoSuchMethod: ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a", "b"), "give one file of this machine and one of a server"),
        (("pb://127.0.0.1/a", "pb://127.0.0.1/b"), "give one file of this machine"),
        (("missing", "pb://127.0.0.1/b"), "there is no file missing"),
        (("/dev/null", "pb://127.0.0.1/b"), "there is no file /dev/null"),
        (("pb://127.0.0.1", "b"), "the file of the server has no name"),
        (("pb://127.0.0.1/", "b"), "the file of the server has no name"),
        (("pb://127.0.0.1/a/..", "b"), "the file of the server has no name"),
        (("pb://127.0.0.1/a", "missing/b"), "there is no folder for missing/b"),
        (("pb://127.0.0.1/a", "missing/"), "there is no folder for missing/"),
        (("pb://127.0.0.1/a", "/dev/null"), "/dev/null is not a regular file"),
        (("http://192.0.2.1/a", "b"), "pb cp: address 'http://192.0.2.1/a' is not understood"),
        (("pb://127.0.0.1:x/a", "b"), "pb cp: address 'pb://127.0.0.1:x/a' has no valid port"),
        (("pb+unix:///nowhere/a", "b"), "the file of the server has no name"),
        (("pb://192.0.2.1/a", "b"), "use pbs://, or --insecure-plaintext"),
        (("pb://127.0.0.1/a", "b", "--user", "a", "--anonymous"), "choose one of --user"),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be copied has status 2, and no connection is made."""
    monkeypatch.chdir(tmp_path)
    result = Runner().invoke(cp, list(arguments))
    assert result.exit_code == 2
    assert error in result.stderr
    assert names(tmp_path) == set()


async def test_a_file_that_cannot_be_written(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of this machine's disk has status 1, and is told as that."""

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    (served / "song").write_bytes(DATA)
    monkeypatch.setattr("broker.files.os.fsync", full)
    back = tmp_path / "back"
    status, _, errors = await run(broker.Files(served), "HOST/song", str(back))
    assert (status, errors) == (1, f"pb cp: cannot write {back}: No space left on device\n")
    assert names(tmp_path) == {"served"}


async def test_a_file_that_cannot_be_read(
    tmp_path: Path, served: Path, policy: broker.Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the middle of the file has status 1, and the server keeps nothing."""

    def fail(fd: int, most: int) -> bytes:
        raise OSError(5, "Input/output error")

    song = tmp_path / "song"
    song.write_bytes(DATA)
    monkeypatch.setattr("broker.folders.open_files.os.read", fail)
    status, _, errors = await run(
        broker.Files(served, writable=True), str(song), "HOST/song", policy=policy
    )
    assert (status, errors) == (1, f"pb cp: cannot read {song}: Input/output error\n")
    assert names(served) == set()


async def test_where_nobody_listens(tmp_path: Path) -> None:
    """A server that is not there has status 3."""
    result = await asyncio.to_thread(
        Runner().invoke, cp, [f"pb+unix://{tmp_path}/socket/a", str(tmp_path / "b")]
    )
    assert result.exit_code == 2
    (tmp_path / "song").touch()
    async with broker.serve(broker.Root(), "pb://127.0.0.1:0") as server:
        address = server.addresses[0]
    result = await asyncio.to_thread(
        Runner().invoke, cp, [str(tmp_path / "song"), f"{address}/song"]
    )
    assert result.exit_code == 3


class Slow(broker.Files):
    """A folder whose files stop in the middle until an event."""

    def __init__(self, directory: Path):
        super().__init__(directory, writable=True)
        self.ended = 0
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()

    async def remote_read(self, name: str, start: int = 0) -> Any:
        """Send the first half, and then nothing until the event."""
        stream = await super().remote_read(name, start)
        return broker.Stream(self._halves(stream.items), size=stream.size)

    async def _halves(self, items: Any) -> AsyncIterator[bytes]:
        try:
            yield await anext(items)
            await self.go_on.wait()
            async for item in items:
                yield item
        finally:
            await items.aclose()
            self.ended += 1
            self.closed.set()


async def started(server: broker.Server, *arguments: str) -> asyncio.subprocess.Process:
    """Start ``pb cp`` as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "broker", "cp",
        *(each.replace("HOST", server.addresses[0]) for each in arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_interrupted(tmp_path: Path, served: Path) -> None:
    """Ctrl-C ends it with status 130; the server's file is closed once; nothing is left."""
    (served / "song").write_bytes(DATA)
    files = Slow(served)
    async with broker.serve(files, "pb://127.0.0.1:0") as server:
        process = await started(server, "HOST/song", str(tmp_path / "back"))
        async with asyncio.timeout(30):
            while not any(each.stat().st_size for each in tmp_path.glob(".back.*.tmp")):
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, errors = await asyncio.wait_for(process.communicate(), 30)
        await asyncio.wait_for(files.closed.wait(), 30)
        assert (process.returncode, out, errors, files.ended) == (130, b"", b"", 1)
    assert names(tmp_path) == {"served"}


async def test_no_progress(tmp_path: Path, served: Path) -> None:
    """Bytes that stop coming end it with status 5, and nothing is left."""
    (served / "song").write_bytes(DATA)
    files = Slow(served)
    status, _, errors = await run(files, "HOST/song", str(tmp_path / "back"), "--timeout", "0.3")
    assert (status, errors) == (5, "pb cp: no progress in 0.3 s\n")
    assert names(tmp_path) == {"served"}


async def resumed_download(tmp_path: Path, served: Path, changed: bool) -> tuple[Path, Slow]:
    """Break off a download with --resume; perhaps change the file; resume it."""
    (served / "song").write_bytes(DATA)
    files = Slow(served)
    back = tmp_path / "back"
    command = ("HOST/song", str(back), "--resume")
    status, _, _ = await run(files, *command, "--timeout", "0.3")
    assert status == 5
    assert partial_size(back) == 65_536
    assert not back.exists()
    if changed:
        (served / "song").write_bytes(DATA[::-1])
    files.go_on.set()
    assert (await run(files, *command))[0] == 0
    return back, files


async def test_a_download_is_resumed(tmp_path: Path, served: Path) -> None:
    """With --resume what came is kept, and the next copy asks for the rest."""
    starts: list[int] = []
    read = broker.Files.remote_read

    async def noted(self: Any, name: str, start: int = 0) -> Any:
        starts.append(start)
        return await read(self, name, start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker.Files, "remote_read", noted)
        back, _ = await resumed_download(tmp_path, served, changed=False)
    assert starts == [0, 65_536]
    assert back.read_bytes() == DATA
    assert names(tmp_path) == {"served", "back"}


async def test_another_file_is_not_resumed(tmp_path: Path, served: Path) -> None:
    """If the bytes that came are not those of the file any more, the copy begins anew."""
    back, _ = await resumed_download(tmp_path, served, changed=True)
    assert back.read_bytes() == DATA[::-1]
    assert names(tmp_path) == {"served", "back"}


@pytest.mark.parametrize("changed", [False, True])
async def test_an_upload_is_resumed(tmp_path: Path, served: Path, changed: bool) -> None:
    """With --resume the server keeps what came, and takes the rest if it belongs to it."""
    files = broker.Files(served, writable=True)
    song = tmp_path / "song"
    song.write_bytes(DATA)

    async def half() -> AsyncIterator[bytes]:
        yield DATA[:65_536]
        raise broker.Error("the connection is bad")

    async with broker.serve(files, "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        with pytest.raises(broker.Error, match="bad"):
            await connection.root.callRemote("write", "song", half(), start=0)
        assert await connection.root.callRemote("partial", "song") == 65_536
        await connection.close()
    if changed:
        song.write_bytes(DATA[::-1])
    assert (await run(files, str(song), "HOST/song", "--resume")) == (0, "", "")
    assert (served / "song").read_bytes() == song.read_bytes()
    assert names(served) == {"song"}


@pytest.mark.parametrize("back", [False, True])
async def test_a_bar(tmp_path: Path, served: Path, back: bool) -> None:
    """At a terminal there is a bar, with the name, which is no markup."""
    name = "[red]song"
    (served / name).write_bytes(DATA)
    (tmp_path / name).write_bytes(DATA)
    async with broker.serve(broker.Files(served, writable=True), "pb://127.0.0.1:0") as server:
        there = f"{server.addresses[0]}/{name}"
        copy = [there, "copy"] if back else [name, there]
        seen, status = await asyncio.to_thread(
            at_a_terminal, [sys.executable, "-m", "broker", "cp", *copy], tmp_path, os.environ, {}
        )
    assert status == 0
    assert name in seen
    assert "256.0/256.0 kB" in seen


def test_serving_a_folder(tmp_path: Path, served: Path, start: Callable[..., Any]) -> None:
    """``pb serve`` serves a Files that a program makes."""
    (served / "song").write_bytes(DATA)
    (tmp_path / "program.py").write_text(
        "import broker\nroot = broker.Files('served', writable=True)\n"
    )
    server = start("serve", "program:root", "pb://127.0.0.1:0")
    address = server.stdout.readline().split()[-1]
    copied = start("cp", f"{address}/song", "back")
    assert copied.communicate() == ("", "")
    assert copied.returncode == 0
    assert (tmp_path / "back").read_bytes() == DATA
