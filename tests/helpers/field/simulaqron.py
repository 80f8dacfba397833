"""SimulaQron: a network of quantum nodes, simulated; its native programs speak Perspective Broker.

Each of two nodes is two processes: a virtual node, which holds qubits, and an application, which
uses its own virtual node and calls the other application. The virtual nodes call each other. The
program is ``corrRNG`` of SimulaQron's own examples: Alice entangles two qubits, sends one to Bob,
and both measure, so that both get the same random bit.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from field.environments import Environment
from field.moving import Extent, move
from field.processes import HOST, Failed, Program, free_ports
from field.rows import Row

__all__ = ["SimulaQron"]

VERSION = "4.1"
PROGRAMS = Path(__file__).resolve().parent / "programs"
EXAMPLE = f"simulaqron-{VERSION}/examples/native-mode/corrRNG"

ROUNDS = 4
"""Bits that Alice and Bob get: all alike by chance once in 16 runs, were they not entangled."""
ROOM = 3
"""Qubits that Bob's node has room for."""

PAIRINGS = {
    "both Twisted": ("stays", "stays"),
    "both moved": ("moved", "moved"),
    "Alice moved": ("moved", "stays"),
    "Bob moved": ("stays", "moved"),
}


class SimulaQron:
    """The example and the errors, each in each pairing."""

    name = "SimulaQron"
    # Its native examples import qutip, which it asks for only as an extra.
    requirements = (f"simulaqron=={VERSION}", "qutip<5")
    distributions = ("simulaqron", "Twisted")

    def __init__(self, environment: Environment, folder: Path) -> None:
        self._environment = environment
        self._trees = _make_trees(environment, folder)

    def rows(self) -> Iterator[Row]:
        """Run both programs in each pairing."""
        for pairing in PAIRINGS:
            row = Row("SimulaQron, corrRNG", pairing)
            with row.shown(), self._nodes(pairing) as nodes:
                row.tell(_same_bits(nodes))
            yield row
        unmoved: list[str] = []
        for pairing in PAIRINGS:
            row = Row("SimulaQron, an error of Bob's node", pairing)
            with row.shown(), self._nodes(pairing) as nodes:
                told = _refusal(nodes)
                unmoved = unmoved or told
                if told != unmoved:
                    raise Failed(f"{told} is not what Twisted's tell: {unmoved}")
                row.tell(f"`{told[0]}`, {told[1]}")
            yield row

    @contextmanager
    def _nodes(self, pairing: str) -> Iterator[_Nodes]:
        alice, bob = PAIRINGS[pairing]
        with TemporaryDirectory() as folder, ExitStack() as programs:
            trees = {"Alice": self._trees[alice], "Bob": self._trees[bob]}
            yield _Nodes(self._environment, Path(folder), trees, programs)


class _Nodes:
    """The two virtual nodes, running, and Bob's application."""

    def __init__(
        self, environment: Environment, folder: Path, trees: dict[str, Path], programs: ExitStack
    ) -> None:
        self._environment = environment
        self._folder = folder
        self._trees = trees
        ports = free_ports(6)
        names = ("app_socket", "qnodeos_socket", "vnode_socket")
        sockets = [[HOST, port] for port in ports]
        nodes = [
            {"Alice": dict(zip(names, sockets[:3], strict=True))},
            {"Bob": dict(zip(names, sockets[3:], strict=True))},
        ]
        network = [{"name": "default", "nodes": nodes, "topology": None}]
        (folder / "classicalNet.json").write_text(json.dumps(network))
        for name, room in (("Alice", 20), ("Bob", ROOM)):
            programs.enter_context(self.program(name, "simulaqron_node.py", name, str(room)))
        self.bob = programs.enter_context(self.program("Bob", "bobTest.py"))

    def program(self, name: str, file: str, *arguments: str) -> Program:
        """Start a program of Alice's or Bob's tree."""
        tree = self._trees[name]
        # SimulaQron writes its settings there, and two programs would do so at once.
        home = mkdtemp(dir=self._folder)
        return Program(
            f"{name}'s {file}",
            [self._environment.python, tree / file, *arguments],
            self._folder,
            {"PYTHONPATH": str(tree), "HOME": home},
        )


def _same_bits(nodes: _Nodes) -> str:
    bits = []
    for _ in range(ROUNDS):
        with nodes.program("Alice", "aliceTest.py") as alice:
            hers = _bit(alice.expect("ALICE: My Random Number is"))
            his = _bit(nodes.bob.expect("BOB: My Random Number is"))
            alice.wait()
        if hers != his:
            raise Failed(f"Alice got {hers}, and Bob {his}")
        bits.append(hers)
    return f"Alice and Bob got the bits {' '.join(bits)}"


def _bit(line: str) -> str:
    return re.sub(r".*is\s+(\S+).*", r"\1", line)


def _refusal(nodes: _Nodes) -> list[str]:
    with nodes.program("Alice", "simulaqron_errors.py") as alice:
        line = alice.expect("REFUSED ")
        alice.wait()
    told: list[str] = json.loads(line.removeprefix("REFUSED "))
    return told


def _make_trees(environment: Environment, build: Path) -> dict[str, Path]:
    """Make a folder with the programs as they are, and one with programs and package moved."""
    trees = {"stays": build / "stays", "moved": build / "moved"}
    source = _examples(environment, build)
    for tree in trees.values():
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        for path in (*PROGRAMS.glob("simulaqron_*.py"), *source.glob("*Test.py")):
            shutil.copy(path, tree)
    moved = trees["moved"]
    package = environment.installed("simulaqron")
    shutil.copytree(package, moved / "simulaqron", ignore=shutil.ignore_patterns("__pycache__"))
    programs = [path for path in moved.glob("*.py") if path.name != "simulaqron_node.py"]
    move(environment, Extent.WHOLE, moved / "simulaqron", *programs)
    return trees


def _examples(environment: Environment, build: Path) -> Path:
    """Return the folder of the example, which only the source distribution has."""
    folder = build / "source"
    if not (folder / EXAMPLE).exists():
        environment.pip(
            *("download", "--no-deps", "--no-binary", "simulaqron", "-d", str(build)),
            f"simulaqron=={VERSION}",
        )
        with tarfile.open(build / f"simulaqron-{VERSION}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / EXAMPLE
