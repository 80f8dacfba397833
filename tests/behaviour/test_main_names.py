"""One program, started in three ways: its copies and errors have one name in all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SERVER = """
import asyncio, datetime, enum, json, sys
from dataclasses import dataclass
import broker

@broker.register("chat.Message")
@dataclass(frozen=True)
class Message:
    room: str
    at: datetime.datetime

@broker.register("chat.Mood")
class Mood(enum.Enum):
    CALM = "calm"

@broker.register("chat.Closed")
class Closed(broker.Error):
    room: str

class Chat(broker.Root):
    def remote_last(self, room):
        return [Message(room, datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)), Mood.CALM]
    def remote_close(self, room):
        raise Closed("closed", room=room)

async def serve():
    async with broker.serve(Chat(), "pb://127.0.0.1:0") as server:
        print(json.dumps(server.addresses[0]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

async def ask(address):
    async with broker.connect(address) as connection:
        message, mood = await connection.root.callRemote("last", "garden")
        assert type(message) is Message and mood is Mood.CALM
        try:
            await connection.root.callRemote("close", "cellar")
        except Closed as error:
            print(json.dumps([message.room, mood.value, type(message).__module__, error.room]))

def main():
    asyncio.run(ask(sys.argv[1]) if len(sys.argv) > 1 else serve())

if __name__ == "__main__":
    main()
"""

# How a program is started: its command, behind the interpreter.
STARTS: dict[str, list[str]] = {
    "file": ["chat_program.py"],
    "module": ["-m", "chat_program"],
    "import": ["-c", "import chat_program; chat_program.main()"],
}


def started(how: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the program in one of the ways."""
    here = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, *STARTS[how], *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{here}"},
    )


@pytest.mark.parametrize(
    ("server", "client"),
    [("file", "file"), ("file", "module"), ("module", "import"), ("import", "file")],
)
def test_started_in_three_ways(server: str, client: str, tmp_path: Path) -> None:
    """Copies, members and errors arrive as their classes, whichever way each end was started."""
    (tmp_path / "chat_program.py").write_text(SERVER, "utf-8")
    with started(server, tmp_path) as served:
        assert served.stdout is not None
        address: Any = json.loads(served.stdout.readline())
        with started(client, tmp_path, address) as asking:
            told, _ = asking.communicate(timeout=30)
        served.communicate(timeout=30)
    module = "chat_program" if client == "import" else "__main__"
    assert json.loads(told) == ["garden", "calm", module, "cellar"]
