"""Every code block of README and docs, run as a reader would run it.

How a page is written, so that this works:

- ``python`` blocks of a page run in order, as one program, and print what its ``text`` blocks say.
- A ``python`` block that begins with ``# name.py`` is a file instead, for the commands of the page.
  So is a ``toml`` block that begins with ``# name.toml``, and a ``proto`` block that begins with
  ``// name.proto``.
- ``console`` blocks have commands behind ``$``, each followed by what it prints. A program with
  ``serve_forever`` or ``listenTCP``, one of another library whose name ends in ``_server.py`` or
  ``_router.py``, and ``pb serve``, keep running to the end of the page. The block ``^C`` stops the
  one that was started first.
- Files for no command of the page have a test of their own, such as ``tests/system/guis.py``.
- ``python -m pytest`` runs the files of the page that are tests.
- ``log`` blocks are what is on standard error. Behind a ``console`` block, or where a program keeps
  running, they are the next lines of the one that was started first. Else they are those of the
  page's ``python`` blocks. Ids, ports, and the frames of tracebacks that are ours may be others.
- ``pb`` runs at a terminal, where ``wonderland`` is typed whenever it asks for a password. Dates
  are those of the day.
- ``js`` and ``ts`` blocks are run and checked by tests/web/test_page.py.
- The ports of `PORTS` stand for free ones. The files of the demonstration's certificates are there,
  unless the page makes its own with ``pb cert``, and those that it makes with openssl.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from support.terminal import at_a_terminal

from broker.demo.certificates import write_certificates

TOP = Path(__file__).parents[1]
# The pages of the wire have recorded bytes, which are checked elsewhere; explanations have no code.
PAGES = sorted(
    [
        *TOP.glob("*.md"),
        TOP / "docs" / "index.md",
        *(TOP / "docs" / "tutorial").rglob("*.md"),
        *(TOP / "docs" / "howto").rglob("*.md"),
    ]
)
PASSWORD = "wonderland"
PORTS = ("8787", "6668", "8080")
ENVIRONMENT = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error"}
# A program of a page imports the others, from its own folder, as it does for a reader.
ENVIRONMENT.pop("PYTHONSAFEPATH", None)

# Commands that are not run here: they install, are this test, or are shown for their effect alone.
KNOWN = {
    "make bench",
    "make check",
    "make test",
    "make vectors",
    "python3 -m venv .venv",
    ".venv/bin/python -m pip install .",
    ".venv/bin/python -m pip install '.[cli]'",
    ".venv/bin/pb demo",
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365"
    " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    " -keyout server.key -out server.pem",
}


def make_certificates(page, folder):
    """Write the files of the demonstration, and run the page's own openssl commands."""
    if "$ pb cert ca" not in page.read_text(encoding="utf-8"):
        write_certificates(folder)
    for block in blocks(page, "console"):
        for command in re.findall(r"^\$ (openssl .*)", block.text, flags=re.MULTILINE):
            if command not in KNOWN:
                subprocess.run(
                    shlex.split(command), cwd=folder, capture_output=True, timeout=30, check=True
                )


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line of the page where the text begins."""

    language: str
    text: str
    line: int


def blocks_of(page):
    """Return the fenced blocks of a page."""
    found = []
    opened = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.fullmatch(r"```(\S*)", line.strip())
        if opened is None and fence:
            opened = (fence[1], number + 1, [])
        elif opened is not None and fence:
            language, start, lines = opened
            found.append(Block(language, "".join(f"{line}\n" for line in lines), start))
            opened = None
        elif opened is not None:
            opened[2].append(line)
    assert opened is None
    return found


def blocks(page, language):
    """Return the blocks of one language."""
    return [block for block in blocks_of(page) if block.language == language]


def logs(page):
    """Return the blocks of the log of the python blocks, which stand behind one of them."""
    found = blocks_of(page)
    return [
        block
        for before, block in pairwise(found)
        if block.language == "log" and before.language != "console"
    ]


def file_name(block):
    """Return which file a python, toml or proto block is, or None."""
    name = re.match(r"(?:#|//) (\w+\.(?:py|toml|proto))\n", block.text)
    return name and name[1]


def page_id(page):
    """Return what a page is called in a report."""
    return str(page.relative_to(TOP))


class Ports:
    """Free ports in place of those on the pages."""

    def __init__(self):
        with ExitStack() as stack:
            found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
            self._free = {
                name: str(one.getsockname()[1]) for name, one in zip(PORTS, found, strict=True)
            }

    def real(self, text):
        """Return a text of a page with the free ports."""
        return re.sub("|".join(PORTS), lambda found: self._free[found[0]], text)

    def shown(self, text):
        """Return a text of a program with the ports of the pages."""
        names = {free: name for name, free in self._free.items()}
        return re.sub("|".join(names), lambda found: names[found[0]], text)


@pytest.fixture
def ports():
    """Return ports that were free a moment ago."""
    return Ports()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_languages(page):
    """Each block is in a language that is checked."""
    known = {"python", "console", "text", "log", "js", "toml", "ts", "proto"}
    assert {block.language for block in blocks_of(page)} <= known


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links(page):
    """Each link to a file leads to one."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=page_id)
def test_python(page, ports, tmp_path):
    """The python blocks of a page run, and print what its text blocks say."""
    program = ""
    for block in blocks(page, "python"):
        if file_name(block) is None:
            # Line numbers of a traceback are those of the page.
            program += "\n" * (block.line - 1 - program.count("\n")) + block.text
    printed = "".join(block.text for block in blocks(page, "text"))
    make_certificates(page, tmp_path)
    source = tmp_path / "page.py"
    source.write_text(ports.real(program), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, source], cwd=tmp_path, env=ENVIRONMENT,
        capture_output=True, encoding="utf-8", timeout=30, check=False,
    )  # fmt: skip
    assert normal(done.stderr) == normal("".join(block.text for block in logs(page)))
    assert ports.shown(done.stdout) == printed


class Terminal:
    """Where a page's commands run: a folder with its files."""

    def __init__(self, folder, ports, stack):
        self.folder = folder
        self.ports = ports
        self.stack = stack
        self.running = []

    def write(self, name, text):
        """Write one of the page's programs."""
        (self.folder / name).write_text(self.ports.real(text), encoding="utf-8")

    def run(self, command, printed):
        """Run a command, and compare what it prints."""
        if command in KNOWN or command.startswith("openssl "):
            return
        if command in ("make demo", "python -m broker demo"):
            assert normal(printed) == normal(self._finish(["-m", "broker", "demo"]))
            return
        program, *arguments = shlex.split(self.ports.real(command))
        if program == "pb":
            self._run_pb(arguments, printed)
            return
        assert program == "python", command
        if arguments[:2] == ["-m", "pytest"]:
            # The plugin is loaded, although this may not be the installed package.
            arguments += ["-p", "broker.testing.plugin", "-c", os.devnull, "--rootdir=."]
            assert normal(printed) == normal(self._finish(arguments))
            return
        if arguments[:2] == ["-m", "grpc_tools.protoc"]:
            assert printed == self._finish(arguments)
            return
        text = (self.folder / arguments[0]).read_text(encoding="utf-8")
        is_server = arguments[0].endswith(("_server.py", "_router.py"))
        if is_server or "serve_forever" in text or "listenTCP" in text:
            assert printed == self._start(arguments, printed.count("\n"))
        else:
            assert normal(printed) == normal(self._finish(arguments))

    def log(self, text):
        """Compare a block of the log with the next lines of the program that runs."""
        written = "".join(self.running[0].stderr.readline() for _ in text.splitlines())
        assert normal(text) == normal(written)

    def stop(self):
        """Stop the program that was started first; it ends in good order."""
        process = self.running[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0

    def end_log(self):
        """Take a program that has been stopped off; all that it wrote was on the page."""
        if self.running and self.running[0].poll() is not None:
            assert self.running.pop(0).stderr.read() == ""

    def _run_pb(self, arguments, printed):
        if arguments[0] == "serve":
            assert printed == self._start(["-m", "broker", *arguments], printed.count("\n"))
            return
        command = [sys.executable, "-m", "broker", *arguments]
        typed = {"Password": PASSWORD, "Again": PASSWORD}
        shown, status = at_a_terminal(command, self.folder, ENVIRONMENT, typed)
        assert normal(printed) == normal(self.ports.shown(shown))
        assert (status != 0) == ("pb call: " in printed)

    def _finish(self, arguments):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=ENVIRONMENT,
            capture_output=True, encoding="utf-8", timeout=30, check=False,
        )  # fmt: skip
        assert (done.stderr, done.returncode) == ("", 0)
        return self.ports.shown(done.stdout)

    def _start(self, arguments, lines):
        self.end_log()
        process = self.stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-u", *arguments], cwd=self.folder, env=ENVIRONMENT,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
            )
        )  # fmt: skip
        self.stack.callback(process.kill)
        self.running.append(process)
        printed = "".join(process.stdout.readline() for _ in range(lines))
        return self.ports.shown(printed)


def normal(transcript):
    """Return a transcript without ports, times, ids, folders, our lines of tracebacks, amounts."""
    ours = r'(?:  File "(?:…|/\S+)/broker/[^"]+", line .*\n(?:    .*\n)?)+'
    transcript = re.sub(ours, "  ours\n", transcript)
    transcript = re.sub(r'(?<=File ")/\S+/(?=\w+\.py")', "", transcript)
    transcript = re.sub(r"(?<=\(id )[0-9a-f]{8}(?=\))", "ID", transcript)
    transcript = re.sub(r"(?<=127\.0\.0\.1:)\d+", "PORT", transcript)
    transcript = re.sub(r"(?<=━ ).*", "AMOUNTS", transcript)
    transcript = re.sub(r"(?<=valid until )\d{4}-\d\d-\d\d", "DATE", transcript)
    return re.sub(r"(?<= in )\d+\.\d+ ?s", "TIME", transcript)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "console")], ids=page_id)
def test_console(page, ports, tmp_path):
    """The commands of a page run in order, each printing what the page says."""
    make_certificates(page, tmp_path)
    with ExitStack() as stack:
        terminal = Terminal(tmp_path, ports, stack)
        for block in blocks_of(page):
            name = file_name(block) if block.language in ("python", "toml", "proto") else None
            if name:
                terminal.write(name, block.text)
            elif block.language == "log" and terminal.running:
                terminal.log(block.text)
            elif block.language == "console" and block.text == "^C\n":
                terminal.stop()
            elif block.language == "console":
                for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                    command, _, printed = part.partition("\n")
                    terminal.run(command, printed)
        terminal.end_log()


def test_the_echo_of_the_readme():
    """The echo server and client of the README are those of the examples."""
    texts = {file_name(block): block.text for block in blocks(TOP / "README.md", "python")}
    for name in ("echo_server.py", "echo_client.py"):
        program = (TOP / "examples" / name).read_text(encoding="utf-8")
        assert texts[name].partition("\n")[2].strip() == program.partition("\n")[2].strip()


def test_what_make_knows():
    """Each make command that a page shows is a target."""
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    for page in PAGES:
        shown = re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text(encoding="utf-8"))
        assert set(shown) <= targets, page_id(page)
