"""Ends of this library and of Twisted, in all pairings, in real processes.

Every cell is one client program against one server program: {our client, Twisted's} × {our server,
Twisted's} × {TCP, TLS} × {password, guest}. The programs are the same but for their imports
(``world.py``). The results are compared with one table, the same for all cells.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.certificates import Authority
from support.peers import Peer, explained_by

HERE = Path(__file__).parent
CLIENTS = {"twisted": "client.py", "ours": "client.py", "face": "face_client.py"}
SERVERS = {"twisted": "server.py", "ours": "server.py", "face": "face_server.py"}


class Cell(NamedTuple):
    """Which client is used with which server, and how."""

    client: str
    server: str
    transport: str
    login: str

    def __str__(self) -> str:
        return "-".join(self)


PUBLISHED_CELLS = [
    Cell(*parts)
    for parts in itertools.product(
        ("twisted", "ours"), ("twisted", "ours"), ("tcp", "tls"), ("password", "guest")
    )
]
# The asyncio API at either end or both, with each possible other end.
FACE_CELLS = [
    Cell(client, server, transport, login)
    for client, server in itertools.product(CLIENTS, SERVERS)
    for transport, login in (("tcp", "guest"), ("tls", "password"))
    if "face" in (client, server)
]
CELLS = PUBLISHED_CELLS + FACE_CELLS

VALUES = {
    "none": "None",
    "true": "bool True",
    "false": "bool False",
    "zero": "int 0",
    "negative": "int -1",
    "last short": "int 2147483647",
    "first long": "int 2147483648",
    "last negative short": "int -2147483648",
    "negative long": "int -2147483649",
    "long": "int 171792506910670443678820376588540424234035840667",
    "more negative": "int -171792506910670443678820376588540424234035840667",
    "float": "float 0.1",
    "negative zero": "float -0.0",
    "infinite": "float inf",
    "no bytes": "bytes b''",
    "bytes": r"bytes b'\x00\xff'",
    "a word of the dialect": "bytes b'remote'",
    "many bytes": "bytes of 102400, crc 9a0e0c8c",
    "no text": "str ''",
    "text": "str 'naïve 日本 😀'",
    "much text": "str of 60000, crc 7e4685ce",
    "list": "list(int 1, list(int 2, list()))",
    "empty list": "list()",
    "tuple": "tuple(int 1, tuple(str 'a', tuple()))",
    "empty tuple": "tuple()",
    "dict": "dict(str 'a': int 1, bytes b'b': int 2, int 3: str 'c', tuple(int 4, str 'd'): None)",
    "empty dict": "dict()",
    "set": "set(int 1, str 'a')",
    "frozenset": "frozenset(bytes b'b', int 2)",
    "datetime": "datetime datetime.datetime(2024, 2, 29, 23, 59, 58, 123456)",
    "date": "date datetime.date(1, 1, 1)",
    "time": "time datetime.time(1, 2, 3, 4)",
    "timedelta": "timedelta datetime.timedelta(days=-1, seconds=5, microseconds=6)",
    "decimal": "Decimal Decimal('-12.3400')",
    "large decimal": "Decimal Decimal('1.5E+30')",
    "shared": "list(list(int 1), same 2, tuple(same 2))",
    "cyclic": "dict(str 'name': str 'loop', str 'self': list(same 1))",
    "expression": "list(bytes b'reference', int 1, list(str 'unicode', bytes b'x'))",
}

# What an errback learns of each error: the class that traps it, the name of its type.
ERRORS = {
    "Refused": "faults.Refused",
    "pb.Error": "twisted.spread.pb.Error",
    "NoSuchMethod": "twisted.spread.flavors.NoSuchMethod",
    "DeadReferenceError": "twisted.spread.pb.DeadReferenceError",
    "PBConnectionLost": "twisted.spread.pb.PBConnectionLost",
    "ProtocolError": "twisted.spread.pb.ProtocolError",
    "InsecureJelly": "twisted.spread.jelly.InsecureJelly",
    "UnauthorizedLogin": "twisted.cred.error.UnauthorizedLogin",
    "UnhandledCredentials": "twisted.cred.error.UnhandledCredentials",
    "LoginDenied": "twisted.cred.error.LoginDenied",
    "ValueError": "builtins.ValueError",
    "KeyError": "builtins.KeyError",
    "ZeroDivisionError": "builtins.ZeroDivisionError",
    "AttributeError": "builtins.AttributeError",
    "TypeError": "builtins.TypeError",
    "Exception": "builtins.Exception",
}


def errors(unknown: str) -> dict[str, Any]:
    """Return each error's description, twice; ``unknown`` is a type that only its sender has."""
    arrived = {kind: [[kind, name, f"because {kind}"]] * 2 for kind, name in ERRORS.items()}
    # str(KeyError(x)) is repr(x).
    arrived["KeyError"] = [["KeyError", "builtins.KeyError", "'because KeyError'"]] * 2
    arrived["unknown"] = [["Exception", unknown, "because unknown"]] * 2
    return arrived


def expected(user: str, avatar_id: str) -> dict[str, Any]:
    """Return the results of each scenario, for a user of that name."""
    return {
        "login": [avatar_id, f"{user} is welcome"],
        "calls": {name: [described, described] for name, described in VALUES.items()},
        "keywords": [
            "tuple(int 1, bytes b'two')",
            "dict(str 'name': str 'x', str 'self_': str 'y', str 'é': tuple(int 3))",
        ],
        "order": [True, True, "late"],
        "callbacks": [
            "heard: during",
            True,
            [["during", {"by": user}], "answer", ["after", {"by": user}]],
            [[1, True], [2, True], [3, True]],
            [True, True, True],
        ],
        "copies": {
            "note": [
                "NoteCopy",
                True,
                "dict(str 'body': list(str 'at', str 'noon'), "
                f"str 'reader': str '{user}', str 'subject': str 'lunch')",
            ],
            "draft": [
                "DraftCopy",
                ["author", "pages", "title"],
                "plan",
                "list(int 1, int 2)",
                "RemoteReference",
                "heard: your draft",
            ],
            "parcel": [
                ["Parcel", "dict(str 'inside': Parcel, str 'label': str 'fragile')"],
                ["Parcel", "dict(str 'inside': Parcel, str 'label': str 'fragile')"],
                ["Parcel", "dict(str 'inside': None, str 'label': str 'small')"],
            ],
        },
        "caches": [
            "BoardCache",
            user,
            ["first"],
            True,
            [[2], [3], [4]],
            ["first", "second", "third", "fourth"],
            True,
            [user, 0],
        ],
        "caches_of_client": ["ScoreCache", [2, 3, 4], [0, 1, 2, 3], True],
        "views": [
            [user, "tuple(int 1)", "dict(str 'word': str 'two')"],
            True,
            f"heard: {user} asked",
            ["ViewPoint", True, True],
            [user, "tuple(str 'shown')", "dict()"],
            ["bob", "tuple()", "dict()"],
        ],
        "references": [True, "touched", "gone", True, "gone"],
        "decrefs": [[3, 3], [3, 3]],
        "logout": [1, 1],
        "server_hangs_up": ["PBConnectionLost", [True], 0, "DeadReferenceError", 1],
        "client_hangs_up": [
            "PBConnectionLost",
            "DeadReferenceError",
            ["PBConnectionLost", "DeadReferenceError", 1],
            1,
        ],
        "logins_refused": {
            "wrong password": ["UnauthorizedLogin", "twisted.cred.error.UnauthorizedLogin"],
            "unknown user": ["UnauthorizedLogin", "twisted.cred.error.UnauthorizedLogin"],
            "denied": ["LoginDenied", "twisted.cred.error.LoginDenied"],
            "unhandled": ["UnhandledCredentials", "twisted.cred.error.UnhandledCredentials"],
            "fault of the realm": ["Exception", "house.ServerFault", "because broken"],
        },
        "errors": errors("house.ServerFault"),
        "errors_of_client": errors("guests.ClientFault"),
        "errors_raised": ["RemoteError", "house.ServerFault"],
        "errors_of_dispatch": {
            "no method of a reference": ["NoSuchMethod", "twisted.spread.flavors.NoSuchMethod"],
            "no method of an avatar": ["AttributeError", "builtins.AttributeError"],
            "no method of a view": ["AttributeError", "builtins.AttributeError"],
            "an attribute is no method": ["NoSuchMethod", "twisted.spread.flavors.NoSuchMethod"],
            "wrong arguments": ["TypeError", "builtins.TypeError"],
            "wrong keyword": ["TypeError", "builtins.TypeError"],
            "unregistered copy": ["InsecureJelly", "twisted.spread.jelly.InsecureJelly"],
            "a class": ["InsecureJelly", "twisted.spread.jelly.InsecureJelly"],
            "no method of the client's": "NoSuchMethod",
            "and then": "still there",
        },
        "pages": [[10000] * 7 + [6800], True],
        "root": [
            "tuple(str 'a', bytes b'b')",
            "tuple(str 'a', bytes b'b')",
            "heard: at the door",
            [["at the door", {}]],
            ["Refused", "faults.Refused", "closed"],
            "NoSuchMethod",
            True,
        ],
    }


def published(cell: Cell) -> dict[str, Any]:
    """Return the results in a cell: the table, and the differences, each with its reason."""
    is_guest = cell.login == "guest"
    user, avatar_id = ("guest", "tuple()") if is_guest else ("alice", "bytes b'alice'")
    table = expected(user, avatar_id)
    if cell.server != "twisted":
        # This library reports a missing method as such wherever it is missed, and wrong arguments
        # apart from a TypeError of the method itself. A Twisted client sees this in the bases, ours
        # in the type.
        missing = ["NoSuchMethod", "twisted.spread.flavors.NoSuchMethod"]
        wrong = ["TypeError", "broker.errors.WrongArguments"]
        if cell.client == "twisted":
            missing, wrong = (
                [missing[0], "builtins.AttributeError"],
                [wrong[0], "builtins.TypeError"],
            )
        table["errors_of_dispatch"].update(
            {
                "no method of an avatar": missing,
                "no method of a view": missing,
                "wrong arguments": wrong,
                "wrong keyword": wrong,
            }
        )
    if cell.client != "twisted":
        # This library does not send code that its own security options do not allow.
        table["errors_of_dispatch"]["a class"] = ["TypeError", "CannotJelly"]
    return table


# The strict policy's text for an exception that is not registered.
HIDDEN = [
    "Exception",
    "twisted.spread.pb.RemoteError",
    "internal error (id …); the server's log has it under that id",
]
HIDDEN_AT_CLIENT = [*HIDDEN[:2], "internal error (id …); the client's log has it under that id"]
ELSEWHERE = ("DeadReferenceError", "PBConnectionLost")
CONDITIONS = (*ELSEWHERE, "NoSuchMethod", "ProtocolError", "InsecureJelly")
UNREGISTERED = (
    "ValueError",
    "KeyError",
    "ZeroDivisionError",
    "AttributeError",
    "TypeError",
    "Exception",
    "unknown",
)
# Needs a Broker subclass, which serve does not accept.
NOT_AT_A_FACE_SERVER = ("decrefs",)
# Needs a factory, or is reported as raised and not as trapped; and a connection keeps its avatar.
NOT_AT_A_FACE_CLIENT = ("decrefs", "logout", "logins_refused", "errors_raised")


def at_face_server(table: dict[str, Any], is_guest: bool) -> dict[str, Any]:
    """Return the table for a server of the asyncio API, whose policy is the strict one."""
    if not is_guest:
        # The strict policy gives checkers and realms user names as text.
        table["login"][0] = "str 'alice'"
    table["logins_refused"]["fault of the realm"] = HIDDEN
    table["errors_raised"] = ["RemoteError", "twisted.spread.pb.RemoteError"]
    for kind in UNREGISTERED:
        table["errors"][kind] = [HIDDEN, HIDDEN]
        # The client's own error arrives unchanged; an error that the server passes on is the
        # server's.
        table["errors_of_client"][kind] = [table["errors_of_client"][kind][0], HIDDEN]
    return {name: value for name, value in table.items() if name not in NOT_AT_A_FACE_SERVER}


def at_face_client(table: dict[str, Any], server: str) -> dict[str, Any]:
    """Return the table for a client of the asyncio API, whose policy is the strict one."""
    table = {name: value for name, value in table.items() if name not in NOT_AT_A_FACE_CLIENT}
    for kind in UNREGISTERED:
        # A strict server does not pass the client's text on, but writes it to its own log.
        passed_on = HIDDEN if server == "face" else HIDDEN_AT_CLIENT
        table["errors_of_client"][kind] = [HIDDEN_AT_CLIENT, passed_on]
    table["logins_raised"] = {
        "wrong password": ["UnauthorizedLogin", None],
        "unknown user": ["UnauthorizedLogin", None],
        "denied": ["LoginDenied", None],
        "unhandled": ["UnhandledCredentials", None],
        "fault of the realm": ["RemoteError", "house.ServerFault"],
        "fault of the realm, guest": ["RemoteError", "house.ServerFault"],
        "login at a root": ["LoginFailed", None],
        "login of a guest at a root": ["LoginFailed", None],
    }
    awaited = {kind: [kind, f"because {kind}"] for kind in ERRORS}
    awaited["pb.Error"][0] = "Error"
    # A method's error is reported as one of another connection; Twisted does so for two of them.
    for kind in ELSEWHERE if server == "twisted" else CONDITIONS:
        awaited[kind] = ["RemoteError", ERRORS[kind]]
    for kind in UNREGISTERED:
        awaited[kind] = ["RemoteError", ERRORS.get(kind, "house.ServerFault")]
    if server == "face":
        hidden = ["RemoteError", "twisted.spread.pb.RemoteError"]
        table["logins_raised"]["fault of the realm"] = hidden
        table["logins_raised"]["fault of the realm, guest"] = hidden
        awaited.update(dict.fromkeys(UNREGISTERED, hidden))
    return {**table, "errors_awaited": awaited}


def expected_in(cell: Cell) -> dict[str, Any]:
    """Return the results of each scenario that runs in a cell."""
    table = published(cell)
    if cell.server == "face":
        table = at_face_server(table, cell.login == "guest")
    if cell.client == "face":
        table = at_face_client(table, cell.server)
    return table


class PEM(NamedTuple):
    """The files of a server certificate, its key, and the authority that signed it."""

    certificate: str
    key: str
    authority: str


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> PEM:
    """A server certificate for 127.0.0.1."""
    authority = Authority(tmp_path_factory.mktemp("pem"))
    pair = authority.issue(["127.0.0.1"])
    return PEM(str(pair.certificate_path), str(pair.key_path), str(authority.ca_path))


class Run(NamedTuple):
    """A client's lines, by scenario, and the programs, for more details."""

    arrived: dict[str, dict[str, Any]]
    server: Peer


@pytest.fixture(scope="module")
def run(pem: PEM) -> Iterator[Callable[[Cell], Run]]:
    """A function that runs the client of a cell, once, against a server that keeps running."""
    with contextlib.ExitStack() as stack:
        servers: dict[tuple[str, str], tuple[Peer, str]] = {}
        runs: dict[Cell, Run] = {}

        def serve(world: str, transport: str) -> tuple[Peer, str]:
            tls = ["--tls", pem.certificate, pem.key] if transport == "tls" else []
            peer = stack.enter_context(Peer(HERE / SERVERS[world], world, *tls, path=[HERE]))
            with explained_by(peer):
                return peer, json.dumps(peer.read())

        def run_cell(cell: Cell) -> Run:
            where = (cell.server, cell.transport)
            if where not in servers:
                servers[where] = serve(*where)
            server, ports = servers[where]
            if cell not in runs:
                tls = ["--ca", pem.authority] if cell.transport == "tls" else []
                skipped = ["--without", *NOT_AT_A_FACE_SERVER] if cell.server == "face" else []
                arguments = [cell.client, ports, cell.login, *tls, *skipped]
                client = Peer(HERE / CLIENTS[cell.client], *arguments, path=[HERE])
                with explained_by(server), client:
                    lines = client.read_all()
                runs[cell] = Run({line["scenario"]: line for line in lines}, server)
            return runs[cell]

        yield run_cell


def without_ids(arrived: Any) -> Any:
    """Return the results without the ids by which an error is found in the server's log."""
    return json.loads(re.sub(r"\(id [0-9a-f]{8}\)", "(id …)", json.dumps(arrived)))


@pytest.mark.parametrize(
    ("cell", "scenario"),
    [pytest.param(cell, name, id=f"{cell}-{name}") for cell in CELLS for name in expected_in(cell)],
)
def test_the_same_arrives_in_every_cell(
    run: Callable[[Cell], Run], cell: Cell, scenario: str
) -> None:
    """The results do not depend on which end is ours."""
    ran = run(cell)
    line = ran.arrived[scenario]
    with explained_by(ran.server):
        assert "failed" not in line, line["failed"]
        assert expected_in(cell)[scenario] == without_ids(line["arrived"])


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_scenario_has_an_expectation(run: Callable[[Cell], Run], cell: Cell) -> None:
    """A client runs exactly the scenarios of the table."""
    assert set(expected_in(cell)) == set(run(cell).arrived)
