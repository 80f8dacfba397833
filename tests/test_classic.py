"""The programs of ``examples/classic`` and their twins: each end against each, and what they print.

A twin is the same program for Twisted: its imports replaced by the table that a program is ported
with, read from right to left, and nothing else. Twins are made here, and kept nowhere.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

CLASSIC = Path(__file__).parents[1] / "examples" / "classic"
SECONDS = 30

# Where Twisted has what is imported from here. Of several modules, the first that has the name.
TABLE = {
    "broker": ("twisted.spread", "twisted.internet", "twisted.python"),
    "broker.pb": (
        "twisted.spread.pb",
        "twisted.spread.flavors",
        "twisted.spread.util",
        "twisted.spread.publish",
    ),
    "broker.defer": ("twisted.internet.defer",),
    "broker.failure": ("twisted.python.failure",),
    "broker.reactor": ("twisted.internet", "twisted.application", "twisted.python"),
    "cred": ("twisted.cred",),
    "jelly": ("twisted.spread.jelly",),
}

PRINTED = {
    "echo": ("echoing: hello", "the server answered: hello"),
    "callbacks": (
        """
        the guest says: take your time
        the guest says: take your time
        the guest says: at last
        """,
        """
        soup in 3
        soup in 2
        soup in 1
        here is the hot soup
        """,
    ),
    "copy": (
        "ReceivedLetter [('lines', ['it rains', 'it still rains']), ('read', False),"
        " ('sender', 'alice')]",
        "ReceivedLetter [('lines', ['Dear alice', 'it rains', 'it still rains']), ('read', False),"
        " ('sender', 'the post office')]",
    ),
    "cache": (
        "a reader has left",
        """
        ['it is morning']
        ['it is morning', 'it is noon']
        ['it is morning', 'it is noon', 'it is evening'] True
        """,
    ),
    "viewpoint": (
        """
        alice sits down
        bob sits down
        """,
        """
        soup for alice: 2 euros
        steak for alice: 10 euros
        soup for bob: 4 euros
        steak for bob: 20 euros
        """,
    ),
    "exceptions": (
        "",
        """
        SoldOut: no milk left
        KeyError: 'milk'
        builtins.ValueError: milk cannot be ordered
        """,
    ),
    "login": (
        "alice brings 100 euros",
        """
        the bank knows no such password
        thank you, alice
        """,
    ),
    "guest": (
        "somebody comes in",
        """
        guests only: no member is let in
        welcome, somebody
        """,
    ),
    "paging": (
        "the book has been sent",
        "\n".join(f"[{'#' * n:10}] {n}0 %" for n in range(1, 11)) + "\n880000 b' dull boy.\\n'",
    ),
    "chat": (
        """
        alice has come
        bob has come
        """,
        """
        [alice] alice: is anybody here?
        [alice] bob: I am!
        [bob] bob: I am!
        """,
    ),
}


def twin(program: str) -> str:
    """Return the program for Twisted: the same, but for its imports."""
    lines = program.splitlines()
    for node in ast.parse(program).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            modules = twisted_modules(node.module)
            if modules:
                assert node.end_lineno is not None
                span = slice(node.lineno - 1, node.end_lineno)
                # On one line, so that the numbers of the lines that follow stay as they are.
                imports = "; ".join(imported(alias, modules) for alias in node.names)
                lines[span] = [imports] + [""] * (node.end_lineno - node.lineno)
    return "\n".join(lines) + "\n"


def twisted_modules(module: str) -> tuple[str, ...]:
    """Return where Twisted has the names of a module of ours; nothing for one that is not ours."""
    if module in TABLE:
        return TABLE[module]
    package, _, rest = module.rpartition(".")
    return tuple(f"{found}.{rest}" for found in TABLE.get(package, ()) if has(found, rest))


def imported(alias: ast.alias, modules: tuple[str, ...]) -> str:
    """Return the import of one name from the first of the modules that has it."""
    module = next(module for module in modules if has(module, alias.name))
    named = f" as {alias.asname}" if alias.asname else ""
    return f"from {module} import {alias.name}{named}"


def has(module: str, name: str) -> bool:
    """Return whether a name can be imported from a module; a module of that name is not run."""
    found = importlib.import_module(module)
    is_package = hasattr(found, "__path__")
    return hasattr(found, name) or (
        is_package and importlib.util.find_spec(f"{module}.{name}") is not None
    )


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the folder of the programs of each world."""
    twins = tmp_path_factory.mktemp("twins")
    for path in CLASSIC.glob("*.py"):
        (twins / path.name).write_text(twin(path.read_text("utf-8")), "utf-8")
    return {"ours": CLASSIC, "twisted": twins}


class Ended(NamedTuple):
    """What one program has printed, and how it ended."""

    printed: str
    errors: str
    status: int


class Program:
    """A running program; what it prints, and that it ends by itself."""

    def __init__(self, folder: Path, name: str, *arguments: str):
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "PYTHONSAFEPATH": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, folder / f"{name}.py", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def first_line(self) -> str:
        """Return the next line that the program prints; empty if it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> Ended:
        """Wait for the program's end, and return what it has printed since."""
        printed, errors = self._process.communicate(timeout=SECONDS)
        return Ended(printed, errors, self._process.returncode)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()


Pairing = tuple[str, str]


def run(worlds: dict[str, Path], name: str) -> Iterator[tuple[Pairing, Ended, Ended]]:
    """Run all pairings of a program at once; yield each with what server and client printed."""
    with ExitStack() as stack:
        pairings = list(itertools.product(worlds, worlds))
        servers = {
            pairing: stack.enter_context(Program(worlds[pairing[0]], f"{name}_server"))
            for pairing in pairings
        }
        clients = {}
        for pairing, server in servers.items():
            port = server.first_line()
            assert port.isdigit(), server.end()
            clients[pairing] = stack.enter_context(
                Program(worlds[pairing[1]], f"{name}_client", port)
            )
        for pairing in pairings:
            client = clients[pairing].end()
            yield pairing, servers[pairing].end(), client


@pytest.mark.parametrize("name", PRINTED)
def test_both_ends_print_the_same_in_all_pairings(worlds: dict[str, Path], name: str) -> None:
    """Whichever end is Twisted's, server and client print what the program says, and end."""
    for pairing, server, client in run(worlds, name):
        for end, expected in zip((server, client), PRINTED[name], strict=True):
            assert (inspect.cleandoc(expected), 0) == (end.printed.strip(), end.status), (
                pairing,
                end.errors,
            )


@pytest.mark.parametrize("world", ["ours", "twisted"])
def test_both_ends_in_one_program(worlds: dict[str, Path], world: str) -> None:
    """A program that listens and connects on one reactor runs unchanged too."""
    with Program(worlds[world], "echo") as program:
        assert program.end()[::2] == ("hello\n", 0)


def test_a_twin_differs_in_its_imports_only(worlds: dict[str, Path]) -> None:
    """A twin has the lines of the program, but for those that import from here; none of these."""
    for path in CLASSIC.glob("*.py"):
        lines = path.read_text("utf-8").splitlines()
        twins = (worlds["twisted"] / path.name).read_text("utf-8").splitlines()
        changed = [(line, other) for line, other in zip(lines, twins, strict=True) if line != other]
        assert changed, path
        for line, other in changed:
            assert line.startswith(("from broker", "from cred")), line
            assert other.startswith("from twisted."), other
        assert "broker" not in {module.split(".")[0] for module in modules_of("\n".join(twins))}


def modules_of(program: str) -> set[str]:
    """Return the modules that a program imports from."""
    return {
        node.module
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }
