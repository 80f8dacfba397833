"""A served folder, through both APIs: with a login, in a result, and as the root."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import broker
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

DATA = bytes(range(256)) * 1_000


async def data() -> AsyncIterator[bytes]:
    """Yield the bytes."""
    for start in range(0, len(DATA), 50_000):
        yield DATA[start : start + 50_000]


async def use(face: Any, files: Any, root: Path) -> None:
    """Write, list and read; a name that leads out is refused."""
    assert await face.outcome(files.callRemote("write", "new", data())) == len(DATA)
    assert (root / "new").read_bytes() == DATA
    listing = broker.stream_of(await face.outcome(files.callRemote("list")))
    assert [entry["name"] async for entry in listing] == ["new"]
    stream = broker.stream_of(await face.outcome(files.callRemote("read", "new", 10)))
    assert b"".join([piece async for piece in stream]) == DATA[10:]
    await face.trapped(files.callRemote("read", "../x"), broker.FileRefused)
    await face.trapped(files.callRemote("read", "x"), broker.NoSuchFile)


class Shelf(broker.Root):
    """Has a folder."""

    def __init__(self, files: broker.Files):
        self.files = files

    def remote_files(self) -> broker.Files:
        """Return it."""
        return self.files


@pytest.mark.parametrize("way", ["root", "result", "avatar"])
async def test_a_served_folder(face: Any, tmp_path: Path, way: str) -> None:
    """It is a root, a result of a method, or an avatar; nothing remains of its transfers."""
    files = broker.Files(tmp_path, writable=True)
    users = InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    target: Any = {
        "root": files,
        "result": Shelf(files),
        "avatar": Portal(broker.realm(lambda name, mind: files), [users]),
    }[way]
    credentials = UsernamePassword("alice", "wonderland") if way == "avatar" else None
    link = await face.connect(await face.serve(target), credentials)
    remote = link.reference
    if way == "result":
        remote = await face.outcome(remote.callRemote("files"))
    await use(face, remote, tmp_path)
    assert len(files._slots) == 0
