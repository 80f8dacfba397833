"""Print the way of a call, of a login and of a cache change through the code, function by function.

``make hops`` prints each way; ``call``, ``login``, ``cache``, ``connect``, ``layers`` or ``counts``
prints one part. ``connect`` is a login with a password over TCP, from ``connect`` on, at both ends
together. ``--write`` puts the ways and the layers into
``docs/explanation/architecture.md``, between the comments that name them.

The ways are recorded with ``sys.setprofile`` on two brokers in memory, so they are what the code
does, not what a page says that it does. They are those of the Python code: what runs in C in place
of it has fewer functions.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from types import FrameType
from typing import Any, NamedTuple

from support.folders import DOCS, ROOT

PAGE = DOCS / "explanation" / "architecture.md"
PACKAGES = ("broker", "jelly", "cred")


from support.memory import BrokerPair, ManualScheduler  # noqa: E402
from support.programs import environment  # noqa: E402
from support.ways_in import WaysIn, tokens  # noqa: E402

import broker  # noqa: E402
import broker.login.client  # noqa: E402
import cred  # noqa: E402
from broker import pb  # noqa: E402
from broker.core.policy import STRICT  # noqa: E402
from broker.native import native  # noqa: E402

CODE = Path(broker.__file__).parents[1]
"""Where the packages are: the root of the project, or an environment where they are installed."""


class Hop(NamedTuple):
    """One function on a way: its file, from `CODE`; its name; and how often it was called."""

    file: str
    function: str
    count: int

    @property
    def name(self) -> str:
        """The function with its module, without ``broker.``."""
        module = self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return f"{module.removeprefix('broker.')}.{self.function}"

    @property
    def is_public(self) -> bool:
        """Whether no part of its name begins with an underscore."""
        return not any(part.startswith(("_", "<")) for part in self.name.split("."))


def record(action: Callable[[], object]) -> list[Hop]:
    """Return the functions that an action calls, in the order of their first call."""
    with recording() as counts:
        action()
    return list(_hops(counts))


@contextmanager
def recording() -> Iterator[dict[tuple[str, str], int]]:
    """Count the calls of functions of Python, by file and name."""
    counts: dict[tuple[str, str], int] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            key = frame.f_code.co_filename, frame.f_code.co_qualname
            counts[key] = counts.get(key, 0) + 1

    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        yield counts
    finally:
        sys.setprofile(previous)


def _hops(counts: dict[tuple[str, str], int]) -> Iterator[Hop]:
    for (file, function), count in counts.items():
        path = Path(file)
        if path.is_relative_to(CODE) and path.relative_to(CODE).parts[0] in PACKAGES:
            if function.rpartition(".")[2].startswith("<"):
                continue  # Comprehensions are functions in Python 3.11 and not in 3.12.
            yield Hop(path.relative_to(CODE).as_posix(), function, count)


NAME = "hops.Price"


class Root(broker.Root):
    """The object that is called."""

    def remote_x(self, number: int) -> int:
        """Return the argument."""
        return number

    def remote_follow(self) -> Price:
        """Return the object that the client follows."""
        return PRICE


class Price(pb.Cacheable):
    """A number that clients follow."""

    def __init__(self) -> None:
        self.observers: list[Any] = []

    def getTypeToCopy(self) -> str:
        """Return the name under which `FollowedPrice` is registered."""
        return NAME

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, Any]:
        """Keep the observer, and return the state."""
        self.observers.append(observer)
        return {"number": 5}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget the observer."""
        self.observers.remove(observer)


class FollowedPrice(pb.RemoteCache):
    """The price at the client."""

    number: int

    def observe_changed(self, number: int) -> None:
        """Follow a change."""
        self.number = number


PRICE = Price()
broker.register(FollowedPrice, NAME)


def call_steps() -> dict[str, list[Hop]]:
    """Return the way of ``callRemote("x", 5)`` and of its answer, between two brokers."""
    pair = BrokerPair(Root(), policy=STRICT)
    # The first call fills caches, such as the table of the class's methods.
    assert pair.call("x", 5) == 5
    results: list[Any] = []
    steps = {"The caller": record(lambda: _call(pair, results))}
    data = pair.transport(pair.client).take()
    steps["The server"] = record(lambda: pair.server.dataReceived(data))
    answer = pair.transport(pair.server).take()
    steps["The caller again"] = record(lambda: pair.client.dataReceived(answer))
    assert results == [5]
    return steps


def _call(pair: BrokerPair, results: list[Any]) -> None:
    pair.root.callRemote("x", 5).addCallback(results.append)


class TokenLogin(WaysIn):
    """A server that takes tokens, and a client."""

    def __init__(self) -> None:
        super().__init__(policy=STRICT, scheduler=ManualScheduler())
        self.portal.registerChecker(tokens(a="alice"))
        self.portal.realm = broker.realm(lambda avatar_id, mind: broker.Avatar())


def login_steps() -> dict[str, list[Hop]]:
    """Return the way of a login with a token."""
    ways = TokenLogin()
    ways.log_in(cred.Token("a"))
    ways = TokenLogin()
    results: list[Any] = []
    steps = {"The client": record(lambda: _log_in(ways, results))}
    data = ways.transport(ways.client).take()
    steps["The server"] = record(lambda: ways.server.dataReceived(data))
    answer = ways.transport(ways.server).take()
    steps["The client again"] = record(lambda: ways.client.dataReceived(answer))
    assert isinstance(results[0], pb.RemoteReference), results
    return steps


def _log_in(ways: TokenLogin, results: list[Any]) -> None:
    broker.login.client.login(ways.client, cred.Token("a")).addBoth(results.append)


def connect_steps() -> dict[str, list[Hop]]:
    """Return what a client and a server call from ``connect`` to the avatar, over TCP.

    A password is sent in clear over the loopback. The first login fills the caches.
    """
    return {"Both ends": asyncio.run(_connect())}


async def _connect() -> list[Hop]:
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    portal = cred.Portal(broker.realm(lambda avatar_id, mind: broker.Avatar()), [users])
    alice = cred.UsernamePassword("alice", "secret")
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        async with broker.connect(server.addresses[0], alice):
            pass
        while server.connections:
            await asyncio.sleep(0)
        # A collection would run finalizers of other code.
        gc.collect()
        gc.disable()
        try:
            with recording() as counts:
                connection = await broker.connect(server.addresses[0], alice)
        finally:
            gc.enable()
        assert connection.peer.mechanism == "password"
        await connection.close()
    return list(_hops(counts))


def cache_steps() -> dict[str, list[Hop]]:
    """Return the way of a change of a Cacheable to its RemoteCache."""
    pair = BrokerPair(Root(), policy=STRICT)
    cache = pair.call("follow")
    PRICE.observers[-1].send("changed", 6)
    pair.exchange()
    steps = {"The owner": record(lambda: PRICE.observers[-1].send("changed", 7))}
    data = pair.transport(pair.server).take()
    steps["The follower"] = record(lambda: pair.client.dataReceived(data))
    assert cache.number == 7
    return steps


WAYS: dict[str, Callable[[], dict[str, list[Hop]]]] = {
    "call": call_steps,
    "login": login_steps,
    "cache": cache_steps,
}


WIDEST = 92
"""Characters of a line in the diagram of the layers."""


def layers(root: Path = ROOT) -> str:
    """Return the layers of the import contracts, as text: each imports only those below it."""
    parts = []
    for contract in _contracts(root):
        if contract["type"] == "layers":
            (container,) = contract["containers"]
            lines = [line for layer in contract["layers"] for line in wrap(layer, WIDEST)]
            width = max(map(len, lines))
            rule = f"+{'-' * (width + 2)}+"
            rows = [f"| {line:<{width}} |" for line in lines]
            parts.append("\n".join([container, rule, *rows, rule]))
    return "\n\n".join(parts)


def _contracts(root: Path) -> list[dict[str, Any]]:
    text = (root / "pyproject.toml").read_text("utf-8")
    contracts: list[dict[str, Any]] = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    return contracts


class Counts(NamedTuple):
    """Numbers of one state of the project."""

    top_modules: int
    top_packages: int
    packages: int
    contracts: int
    any_per_thousand: dict[str, float]


def counts(root: Path = ROOT) -> Counts:
    """Return how large the tree is, and how often its code says ``Any``."""
    top = root / "broker"
    folders = [path.parent for path in top.rglob("__init__.py")]
    places = sorted(path.name for path in top.iterdir() if (path / "__init__.py").exists())
    found = {"broker/*.py": _any_per_thousand(top.glob("*.py"))}
    for place in places:
        found[f"broker/{place}"] = _any_per_thousand((top / place).rglob("*.py"))
    for package in PACKAGES[1:]:
        found[package] = _any_per_thousand((root / package).rglob("*.py"))
    return Counts(
        top_modules=sum(path.name != "__init__.py" for path in top.glob("*.py")),
        top_packages=len(places),
        packages=len(folders),
        contracts=len(_contracts(root)),
        any_per_thousand=found,
    )


def _any_per_thousand(paths: Iterator[Path]) -> float:
    lines = uses = 0
    for path in paths:
        source = path.read_text("utf-8")
        lines += source.count("\n")
        uses += sum(_is_any(node) for node in ast.walk(ast.parse(source)))
    return round(1000 * uses / lines, 1) if lines else 0.0


def _is_any(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "Any") or (
        isinstance(node, ast.Attribute) and node.attr == "Any"
    )


LOGIN_PARTS = ("login.", "cred.", "core.calls.", "core.session.", "connection.running_methods.")
"""The modules that the page shows of a login, which crosses 200 functions."""


def way_for_page(name: str) -> str:
    """Return one way as the page has it: public functions and handlers, in order."""
    parts = []
    for step, hops in steps_of(name).items():
        shown = [
            hop.name
            for hop in hops
            if (hop.is_public or "/handlers.py" in hop.file)
            and (name != "login" or hop.name.startswith(LOGIN_PARTS))
        ]
        parts.append("\n".join([f"{step}:", *(f"  {each}" for each in shown)]))
    return "\n\n".join(parts)


def blocks() -> dict[str, str]:
    """Return what stands in the page between each pair of comments."""
    return {"layers": layers(), **{name: way_for_page(name) for name in WAYS}}


def with_block(page: str, name: str, text: str) -> str:
    """Return a page with the text of one block replaced."""
    pattern = rf"(?s)(<!-- {name} -->\n```\n)(?:.*?\n)?(```\n<!-- /{name} -->)"
    found, times = re.subn(pattern, lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if times != 1:
        raise ValueError(f"the page has no block {name}")
    return found


PRINTED = {**WAYS, "connect": connect_steps}
"""What is printed by its name; the last is too long for the page."""


def steps_of(name: str) -> dict[str, list[Hop]]:
    """Return the way of a name, in the Python code, whether or not the form in C is in use."""
    if native is None:
        return PRINTED[name]()
    run = subprocess.run(
        [sys.executable, "-m", "project.hops", "--json", name],
        env=environment(BROKER_PURE="1"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    steps: dict[str, list[list[Any]]] = json.loads(run.stdout)
    return {step: [Hop(*hop) for hop in hops] for step, hops in steps.items()}


def show(name: str) -> None:
    """Print one part."""
    if name == "layers":
        print(layers())
    elif name == "counts":
        print(counts())
    else:
        for step, hops in steps_of(name).items():
            total = sum(hop.count for hop in hops)
            print(f"{step} ({len(hops)} functions, {total} calls)")
            for hop in hops:
                print(f"  {hop.count:3}  {hop.name:<60} {hop.file}")
            print()


def main(arguments: list[str]) -> None:
    """Print what is asked for, or write the page."""
    if arguments[:1] == ["--json"]:
        print(json.dumps(PRINTED[arguments[1]]()))
        return
    if arguments == ["--write"]:
        page = PAGE.read_text("utf-8")
        for name, text in blocks().items():
            page = with_block(page, name, text)
        PAGE.write_text(page, "utf-8")
        return
    for name in arguments or WAYS:
        show(name)


if __name__ == "__main__":
    main(sys.argv[1:])
