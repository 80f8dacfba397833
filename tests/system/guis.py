"""The programs of the page about GUIs: `make system` runs this, as it needs system libraries.

Qt draws in memory, with its platform "offscreen", and Tk in a display of Xvfb.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import broker
from broker.demo.certificates import write_certificates

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "gui.md"

OFFSCREEN = "This plugin does not support propagateSizeHints()\n"
"""What Qt says where it draws in memory."""

Start = Callable[[str], "subprocess.Popen[str]"]

CLICK = {
    "qt_client.py": ("await closed.wait()", "button.click()\n        await closed.wait()"),
    "tk_client.py": ("await closed.wait()", "button.invoke()\n            await closed.wait()"),
}
"""What presses the button of a program once, as a change of its text."""

CLOSE = {
    "qt_client.py": (
        "flush=True)",
        "flush=True)\n        degrees == 99 and QApplication.closeAllWindows()",
    ),
    "qt_server.py": (
        "self.field.setValue(degrees)",
        "self.field.setValue(degrees)\n        degrees == 99 and QApplication.closeAllWindows()",
    ),
    "tk_client.py": (
        "flush=True)",
        "flush=True)\n        top = self.label.winfo_toplevel()\n"
        '        degrees == 99 and top.tk.call(top.protocol("WM_DELETE_WINDOW"))',
    ),
}
"""What closes the window of a program at 99 degrees."""


@pytest.fixture
def port() -> str:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return str(listening.getsockname()[1])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends the programs of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def display(stack: ExitStack) -> str:
    """Return the name of an empty display."""
    xvfb = shutil.which("Xvfb")
    assert xvfb is not None, "install xvfb"
    read, write = os.pipe()
    server = stack.enter_context(
        subprocess.Popen(
            [xvfb, "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
            pass_fds=[write], stderr=subprocess.DEVNULL,
        )
    )  # fmt: skip
    stack.callback(server.terminate)
    os.close(write)
    with open(read) as named:
        return f":{named.readline().strip()}"


@pytest.fixture
def start(stack: ExitStack, display: str, port: str, tmp_path: Path) -> Start:
    """Return a function that starts a program of the page."""
    write_certificates(tmp_path)
    programs = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text("utf-8"), re.S))
    environment = {
        **os.environ, "QT_QPA_PLATFORM": "offscreen", "DISPLAY": display,
        "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip

    def started(name: str) -> subprocess.Popen[str]:
        text = programs[name].replace("8787", port)
        for old, new in filter(None, (CLICK.get(name), CLOSE[name])):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text, "utf-8")
        program = stack.enter_context(
            subprocess.Popen(
                [sys.executable, name], cwd=tmp_path, env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
            )
        )  # fmt: skip
        stack.callback(program.kill)
        return program

    return started


def line(program: subprocess.Popen[str]) -> str:
    """Return the next line that a program prints, or what it says of its end."""
    printed = program.stdout.readline()
    assert printed != "", program.stderr.read()
    return printed.strip()


def end(program: subprocess.Popen[str]) -> tuple[str, str, int]:
    """Wait for the end of a program; return what it has printed and logged, and its status."""
    printed, logged = program.communicate(timeout=30)
    return printed, logged.replace(OFFSCREEN, ""), program.returncode


async def set_degrees(port: str, folder: Path, degrees: int) -> None:
    """Call the server, as one more client."""
    tls = broker.TLS.client(ca=str(folder / "ca.pem"))
    async with broker.connect(f"pbs://127.0.0.1:{port}", tls=tls) as connection:
        await connection.root.callRemote("set", degrees)


@pytest.mark.parametrize("client_name", ["qt_client.py", "tk_client.py"])
def test_labels(client_name: str, start: Start, port: str, tmp_path: Path) -> None:
    """A button calls the server, whose calls change the label; closed windows end both programs."""
    server = start("qt_server.py")
    assert line(server) == f"serving at pbs://127.0.0.1:{port}"
    client = start(client_name)
    assert line(client) == "shown: 0 °C"
    assert line(client) == "shown: 1 °C"
    asyncio.run(set_degrees(port, tmp_path, 50))
    assert line(client) == "shown: 50 °C"
    asyncio.run(set_degrees(port, tmp_path, 99))
    assert line(client) == "shown: 99 °C"
    for program in (client, server):
        assert end(program) == ("", "", 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("client_name", ["qt_client.py", "tk_client.py"])
def test_signals(client_name: str, number: signal.Signals, start: Start, port: str) -> None:
    """Ctrl-C and SIGTERM end a server and a client in good order."""
    server = start("qt_server.py")
    assert line(server) == f"serving at pbs://127.0.0.1:{port}"
    client = start(client_name)
    assert line(client) == "shown: 0 °C"
    assert line(client) == "shown: 1 °C"
    for program in (client, server):
        program.send_signal(number)
        assert end(program) == ("", "", 0)
