"""What transfers may use: counted once, given back once, and never counted too low."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from broker.connection.peer import CURRENT_CALL, Call, Peer
from broker.errors import FileRefused
from broker.folders.folder import Folder, Usage
from broker.transfer_limits import Room, Slots


def calling(connection: Any) -> Any:
    """Be in a call of a connection until the result is used to reset it."""
    return CURRENT_CALL.set(Call(Peer(), connection))


def test_slots() -> None:
    """So many are given at once; one that is given back is free, once."""
    slots = Slots(2)
    first, second = slots.take(), slots.take()
    with pytest.raises(FileRefused):
        slots.take()
    first()
    first()
    third = slots.take()
    with pytest.raises(FileRefused):
        slots.take()
    second()
    third()
    with slots.taken(), slots.taken(), pytest.raises(FileRefused):
        slots.take()
    assert len(slots) == 0


def test_slots_of_a_connection() -> None:
    """One connection gets 32 at once; another one gets its own."""
    slots = Slots(100)
    token = calling("one")
    taken = [slots.take() for _ in range(32)]
    with pytest.raises(FileRefused, match="try again later"):
        slots.take()
    CURRENT_CALL.reset(token)
    token = calling("other")
    taken.append(slots.take())
    CURRENT_CALL.reset(token)
    for release in taken:
        release()
    assert len(slots) == 0


async def test_room(tmp_path: Path) -> None:
    """What is there is counted, and what is added to it."""
    (tmp_path / "file").write_bytes(b"x" * 60)
    room = Room(Folder(tmp_path), 2, 100)
    await room.measure()
    room.check_bytes(40)
    with pytest.raises(FileRefused, match="over 100 bytes"):
        room.check_bytes(41)
    room.add_bytes(30)
    room.add_bytes(10)
    with pytest.raises(FileRefused):
        room.add_bytes(1)
    room.add_file()
    with pytest.raises(FileRefused, match="has 2 files"):
        room.add_file()


class Waiting(Folder):
    """A folder that is counted when the test lets it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.times = 0

    def usage(self, most: int) -> Usage:
        """Count."""
        self.times += 1
        self.begun.set()
        assert self.go_on.wait(20)
        return Usage(0, 50)


async def test_room_while_it_is_counted(tmp_path: Path) -> None:
    """Bytes that come while a folder is counted are added; all that measure wait for one count."""
    folder = Waiting(tmp_path)
    room = Room(folder, 2, 100)
    measuring = [asyncio.ensure_future(room.measure()) for _ in range(3)]
    async with asyncio.timeout(20):
        while not folder.begun.is_set():
            await asyncio.sleep(0.005)
    assert not any(each.done() for each in measuring)
    room.add_bytes(40)
    folder.go_on.set()
    await asyncio.gather(*measuring)
    assert folder.times == 1
    room.check_bytes(10)
    with pytest.raises(FileRefused):
        room.check_bytes(11)


async def test_room_in_two_loops(tmp_path: Path) -> None:
    """A folder may be served in one loop after another."""
    folder = Waiting(tmp_path)
    folder.go_on.set()
    room = Room(folder, 2, 100)
    await room.measure()

    def again() -> None:
        room._counted_at = -10
        asyncio.run(room.measure())

    thread = threading.Thread(target=again)
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.005)
    assert folder.times == 2
