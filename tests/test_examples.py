"""The programs of ``examples``: each runs, prints what it should, and stays short."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import broker
import cred

EXAMPLES = Path(__file__).parents[1] / "examples"
ENVIRONMENT = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error"}


def run(name, logs=0, told=""):
    """Run an example to its end; return what it printed.

    It logs so many faults, or writes what the pattern ``told`` matches to its standard error.
    """
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        capture_output=True, env=ENVIRONMENT, timeout=30, check=False,
    )  # fmt: skip
    assert (done.stderr != b"", done.returncode) == (logs > 0 or told != "", 0)
    if told:
        assert re.fullmatch(told, done.stderr.decode())
    assert len(re.findall(rb"^(?:remote method '|127\.0\.0\.1:)", done.stderr, re.M)) == logs
    return done.stdout.decode()


def test_login():
    """The avatar knows whose it is."""
    assert run("login.py") == "good evening, alice\n"


def test_notify():
    """Who has joined hears what others say, and what she says herself."""
    assert run("notify.py") == "alice heard: hello, room\nalice heard: hello, bob\n"


def test_fetch():
    """All bytes arrive; without a terminal the bar is a line of text each second."""
    assert run("fetch.py", told=r"song: .+ of 3\.4 MB\n(song: .+\n)*") == "3400000 bytes\n"


def test_topics():
    """Topics: first the retained value, then what is published."""
    assert run("topics.py") == "prices.tea 3.2\nprices.tea 3.45\n"


def test_upload():
    """One file after the other is stored."""
    files = len(list(EXAMPLES.glob("*.py")))
    told = rf"upload: 1 files of {files} files \S+\n(.+\n)*upload: {files} files of .+\n"
    assert run("upload.py", told=told) == ""


def test_errors():
    """One error arrives as its class, a mistake without its text, a refusal as NoSuchMethod."""
    known, unknown, refused = run("errors.py", logs=2).splitlines()
    assert known == "Overdrawn: this account has 100 euros"
    pattern = (
        r"RemoteError: .*internal error \(id [0-9a-f]{8}\); the server's log has it under that id"
    )
    assert re.fullmatch(pattern, unknown)
    assert refused == "NoSuchMethod: no remote method 'steal'"


def test_contract():
    """A typed call, and one that is refused before it is sent."""
    assert run("contract.py") == "30.0\nprice: seats: Expected `int`, got `str`\n"


def test_stay():
    """A call that is made while the server is away is answered by the next one."""
    assert run("stay.py") == "before\nafter\n"


def test_classic_echo():
    """The program in the published vocabulary prints what comes back, and ends."""
    assert run("classic/echo.py") == "hello\n"


def test_echo(tmp_path):
    """The client prints what the server sends back; the server ends tidily at SIGINT."""
    names = ("echo_server.py", "echo_client.py")
    for name in names:
        # Another port than that of the examples: somebody may use it.
        program = (EXAMPLES / name).read_text(encoding="utf-8")
        assert "pb://127.0.0.1:8787" in program
        port = "0" if name == names[0] else "PORT"
        (tmp_path / name).write_text(program.replace(":8787", f":{port}"), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, tmp_path / names[0]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as server:  # fmt: skip
        try:
            said = server.stdout.readline()
            address = re.fullmatch(r"serving at pb://127\.0\.0\.1:(\d+)\n", said)
            assert address is not None
            client = tmp_path / names[1]
            client.write_text(client.read_text().replace("PORT", address[1]))
            assert run(client) == "hello\n"
            server.send_signal(signal.SIGINT)
            assert server.communicate(timeout=30) == ("", "")
            assert server.returncode == 0
        finally:
            server.kill()


class Screen(broker.Referenceable):
    """Is told the votes."""

    def __init__(self):
        self.told = asyncio.Queue()

    def remote_votes(self, votes):
        """Note them."""
        self.told.put_nowait(votes)


async def test_live_page(tmp_path):
    """The page is served, and each connected screen is told of each vote."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
    program = (EXAMPLES / "live_page.py").read_text(encoding="utf-8")
    assert "PORT = 8000\n" in program
    (tmp_path / "page.py").write_text(program.replace("PORT = 8000", f"PORT = {port}"), "utf-8")
    server = await asyncio.create_subprocess_exec(sys.executable, tmp_path / "page.py")
    try:
        page = await fetched(port, server)
        assert page.startswith(b"HTTP/1.1 200 OK")
        assert b'from "/broker.js"' in page
        address, guest = f"ws://127.0.0.1:{port}/pb/", cred.Anonymous()
        mine, other = Screen(), Screen()
        async with (
            broker.connect(address, guest, mind=mine) as connection,
            broker.connect(address, guest, mind=other),
        ):
            await connection.avatar.callRemote("vote", "tea")
            for screen in (mine, other):
                assert await screen.told.get() == {"tea": 0, "coffee": 0}
                assert await screen.told.get() == {"tea": 1, "coffee": 0}
            with pytest.raises(broker.Error, match="tea or coffee"):
                await connection.avatar.callRemote("vote", "milk")
        server.send_signal(signal.SIGTERM)
        await server.wait()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def fetched(port, server):
    """Return the answer of a server to a request for its page, once it is up."""
    while True:
        assert server.returncode is None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer


LARGE = {"chat", "dashboard", "live_page.py"}
SMALL = sorted(
    path for path in EXAMPLES.rglob("*.py") if path.relative_to(EXAMPLES).parts[0] not in LARGE
)


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_length(path):
    """An example has under 20 lines, without its title and blank ones; the large ones have more."""
    title, *lines = filter(None, path.read_text(encoding="utf-8").splitlines())
    assert title.startswith('"""')
    assert title.endswith('"""')
    assert len(lines) < 20
