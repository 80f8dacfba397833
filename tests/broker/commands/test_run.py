"""``pb run FILE``, as a process: what it runs, where it logs, how it ends, and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import broker

APPLICATION = """
    import logging
    import quotes
    from broker import pb, reactor
    from broker.reactor import log, service, task

    class Noting(service.Service):
        def __init__(self, name):
            self.setName(name)

        def startService(self):
            super().startService()
            log.msg("started", self.name)

        def stopService(self):
            super().stopService()
            log.msg("stopped", self.name)
            return task.deferLater(reactor, 0.01, log.msg, "gone", self.name)

    application = service.Application("quotes")
    for name in ("first", "second"):
        Noting(name).setServiceParent(application)
    server = service.UNIXServer({path!r}, pb.PBServerFactory(quotes.Quotes()))
    server.setServiceParent(application)
    reactor.callWhenRunning(logging.getLogger("of.mine").warning, "my own logger")
    print("__name__ is", __name__, flush=True)
    reactor.callWhenRunning(print, "up", flush=True)
"""

QUOTES = """
    from broker import pb

    class Quotes(pb.Root):
        def remote_quote(self):
            return "It is what it is."
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Run the application above with options, in another folder; end it if a test does not."""
    (tmp_path / "quotes.py").write_text(textwrap.dedent(QUOTES))
    socket_path = str(tmp_path / "socket")
    file = tmp_path / "app.tac"
    file.write_text(textwrap.dedent(APPLICATION).format(path=socket_path))
    started: list[subprocess.Popen[str]] = []

    def start_it(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "broker", "run", *options, str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_it
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until_up(process: subprocess.Popen[str]) -> list[str]:
    """Return the lines that are printed until the reactor runs."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line == "up\n":
            return lines
    raise AssertionError(process.communicate())


def messages(text: str) -> list[str]:
    """The lines of a log without their times."""
    return [re.sub(r"^.*? (?=\[)", "", line) for line in text.splitlines() if "[" in line]


END = [
    "[broker.app] stopped second",
    "[broker.app] stopped first",
    "[broker.app] gone second",
    "[broker.app] gone first",
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run(start: Any, tmp_path: Path, number: int) -> None:
    """An application serves, logs to the standard output, and ends cleanly with either signal."""
    process = start()
    lines = until_up(process)
    assert "__name__ is __application__" in lines

    async def ask() -> Any:
        async with broker.connect(f"pb+unix://{tmp_path}/socket") as connection:
            return await connection.root.callRemote("quote")

    assert await ask() == "It is what it is."
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    log = messages("\n".join(lines) + "\n" + out)
    assert "[of.mine] my own logger" in log
    expected = ["[broker.app] started first", "[broker.app] started second"]
    assert [line for line in log if " started " in line] == expected
    assert [line for line in log if "stopped " in line or "gone " in line] == END
    assert f"[broker.reactor] received {signal.Signals(number).name}, shutting down" in log
    assert log[-1] == "[broker.app] ended"
    assert not (tmp_path / "socket").exists()


def test_logfile(start: Any, tmp_path: Path) -> None:
    """With --logfile the log is appended to a file, and taken up again where that is moved."""
    logfile = tmp_path / "log"
    logfile.write_text("before\n")
    process = start("--logfile", str(logfile))
    lines = until_up(process)
    assert lines == ["__name__ is __application__", "up"]
    logfile.rename(tmp_path / "log.1")
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    first, second = (tmp_path / "log.1").read_text(), logfile.read_text()
    assert first.startswith("before\n")
    assert "[broker.app] started first" in messages(first)
    assert [line for line in messages(second) if " stopped " in line] == END[:2]


def test_syslog(start: Any, tmp_path: Path) -> None:
    """With --syslog-address the log goes to a system log, with the process's number."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.bind(str(tmp_path / "syslog"))
        system.settimeout(20)
        process = start("--syslog-address", str(tmp_path / "syslog"))
        text = b""
        # The queue of such a socket is short, and who writes to a full one waits.
        while b"my own logger" not in text:
            text += system.recv(65536)
        process.terminate()
        while b"ended" not in text:
            text += system.recv(65536)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"pb[{process.pid}]: ".encode() in text
    assert b"started first" in text


def test_syslog_over_the_network(start: Any) -> None:
    """A system log may also be at a host and port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as system:
        system.bind(("127.0.0.1", 0))
        port = system.getsockname()[1]
        system.settimeout(20)
        process = start("--syslog", "--syslog-address", f"127.0.0.1:{port}")
        until_up(process)
        assert b"pb[" in system.recv(65536)


def refused(folder: Path, text: str, *options: str) -> str:
    """Run a file that cannot be run; return what is said about it."""
    file = folder / "app.tac"
    file.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-m", "broker", "run", *options, "app.tac"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode in (1, 2)
    return done.stderr.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = ", "app.tac, line 2: invalid syntax"),
        ("x = 1\n\nimport no_such_module", "app.tac, line 3: ModuleNotFoundError: No module"),
        ("def f():\n    1 / 0\n\nf()", "app.tac, line 2: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('')", "app.tac, line 2: JSONDecodeError"),
        ("x = 1", "app.tac does not make an application: add a line such as application ="),
        ("application = 5", "app.tac: its application is of type int, and was not made by"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, said: str) -> None:
    """What is wrong with a file is said in the last line, with the place where it can be."""
    message = refused(tmp_path, text)
    last = message.splitlines()[-1]
    assert said in last
    assert last.startswith("pb run: ")


def test_the_traceback(tmp_path: Path) -> None:
    """Whichever module raised, the traceback goes from the file to there."""
    (tmp_path / "helper.py").write_text("import deeper\n\ndef make():\n    deeper.fail()\n")
    (tmp_path / "deeper.py").write_text("def fail():\n    raise ValueError('too deep')\n")
    lines = refused(tmp_path, "import helper\n\nhelper.make()\n").splitlines()
    frames = [line.strip() for line in lines if line.startswith("  File ")]
    assert frames == [
        f'File "{tmp_path}/app.tac", line 3, in <module>',
        f'File "{tmp_path}/helper.py", line 4, in make',
        f'File "{tmp_path}/deeper.py", line 2, in fail',
    ]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == [
        "ValueError: too deep",
        "pb run: app.tac, line 3: ValueError: too deep",
    ]


def test_the_traceback_of_a_module_that_raises(tmp_path: Path) -> None:
    """So it is where a module raises while it is imported, or cannot be compiled."""
    (tmp_path / "broken.py").write_text("import json\n\n{}['bread']\n")
    lines = refused(tmp_path, "import broken\n").splitlines()
    assert f'  File "{tmp_path}/broken.py", line 3, in <module>' in lines
    assert "importlib" not in "\n".join(lines)
    (tmp_path / "broken.py").write_text("def f(:\n")
    said = refused(tmp_path, "import broken\n")
    assert f'  File "{tmp_path}/app.tac", line 1, in <module>' in said.splitlines()
    assert said.endswith(f"pb run: {tmp_path}/broken.py, line 1: invalid syntax")


NOT_STARTED = """
    from broker.reactor import service

    class Failing(service.Service):
        def startService(self):
            raise {error}

    application = service.Application("a")
    Failing().setServiceParent(application)
"""


def test_services_that_fail(tmp_path: Path) -> None:
    """A service that cannot start ends the command with what it raised; the log has the rest."""
    said = refused(tmp_path, NOT_STARTED.format(error="OSError('no disk')"))
    assert said == "pb run: app.tac cannot be started: no disk"
    said = refused(tmp_path, NOT_STARTED.format(error="ValueError('odd')"))
    assert said == "pb run: app.tac cannot be started: odd"
    refused(tmp_path, NOT_STARTED.format(error="OSError('no disk')"), "--logfile", "log")
    log = (tmp_path / "log").read_text()
    assert f'File "{tmp_path}/app.tac", line 6, in startService' in log


def test_ports_that_are_taken(tmp_path: Path) -> None:
    """A port that cannot be opened is said plainly."""
    said = refused(
        tmp_path,
        """
        from broker.reactor import protocol, service
        application = service.MultiService()
        service.TCPServer(1, protocol.Factory(), interface="192.0.2.1").setServiceParent(
            application)
        """,
    )
    assert said.endswith("192.0.2.1 is not an address of this machine.")


def test_logs_that_are_not_there(tmp_path: Path) -> None:
    """A log that cannot be written is said before anything starts."""
    good = "from broker.reactor import service\napplication = service.Application('a')"
    said = refused(tmp_path, good, "--logfile", str(tmp_path / "no" / "log"))
    assert "pb run: cannot open the log: " in said
    said = refused(tmp_path, good, "--syslog-address", str(tmp_path / "none"))
    assert said == f"pb run: cannot open the log: no system log listens at {tmp_path}/none"
    assert "choose one" in refused(tmp_path, good, "--syslog", "--logfile", "x")


def test_an_observer_of_its_own(tmp_path: Path) -> None:
    """An application whose ILogObserver component is set logs to that, and nowhere else."""
    text = """
        import sys
        from broker import reactor
        from broker.reactor import log, service
        application = service.Application("a")
        application.setComponent(log.ILogObserver, log.FileLogObserver(sys.stderr).emit)
        reactor.callWhenRunning(reactor.stop)
    """
    file = tmp_path / "app.tac"
    file.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-m", "broker", "run", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert messages(done.stderr) == [f"[-] running a, from {file}", "[-] ended"]
