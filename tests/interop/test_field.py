"""Undocumented behaviour that real PB programs rely on: it works in all four pairings.

The programs are the same with Twisted and with this library but for their imports. A client's
results are compared with one table. Where this library differs, the table says how and why.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.peers import explained_by
from support.worlds import PAIRINGS, Pairing, Run, run_fixture

TYPE = "field_things.Broken"
SENT = [["all"], {"of": "it"}]
PAGED = [True, True, [128_000, True], SENT]
TOO_LARGE = [
    "TooLarge",
    "bytes of 655361 (max_string 655360); send it in pieces, see broker.pb.StringPager",
]

SEEN: dict[str, Any] = {
    # The realm calls the mind and waits for it; and the avatar knows the mind's connection.
    "mind_before_avatar": ["alice, it is me", True, "somebody, it is me", True],
    # Methods that __getattr__ makes, of an object and of an avatar; a missing method stays missing.
    "methods_made_when_asked_for": [
        ["a proxy", "dance", "tuple(int 1)", "dict(str 'with_': str 'you')"],
        "perspective_sing_loud",
        True,
    ],
    "remote_type": ["bytes", TYPE, "because broken", ["because broken"]],
    # Every error of a peer is caught as a RemoteError, even if both ends know its class.
    "all_are_remote_errors": {
        "pb.Error": ["bytes", "twisted.spread.pb.Error", "because known"],
        "registered": ["bytes", "field_things.Known", "because known"],
        "no method": [
            "bytes",
            "twisted.spread.flavors.NoSuchMethod",
            "No such method: remote_nothing",
        ],
        "no method of an avatar": [
            "bytes",
            "builtins.AttributeError",
            # Its ``__getattr__`` says so.
            "perspective_nothing",
        ],
        "wrong arguments": [
            "bytes",
            "builtins.TypeError",
            "Desk.remote_note() missing 1 required positional argument: 'value'",
        ],
        "no object": ["bytes", "twisted.spread.pb.Error", "Invalid Object ID"],
        "a dead reference": "Calling Stale Broker",
    },
    # Values in the state of a copy or of a cache that cannot be sent, and the rest of the state.
    "unsendable": {
        "to the server": [
            "AB",
            "C",
            1,
            "list(Unpersistable, int 2)",
            "dict(str 'k': Unpersistable)",
        ],
        "to the client": [
            "AB",
            "C",
            1,
            "list(Unpersistable, int 2)",
            "dict(str 'k': Unpersistable)",
        ],
        "cache": ["Unpersistable", 5],
        "argument": "Unpersistable",
    },
    # An IPBRoot that is not a Root: each connection gets its own object.
    "own_root": [True, ["mine"], []],
    "keywords": [True],
    # One echo, and the call that reports it, at server and client: each hook was called.
    "hooks": [
        {"ready": [1, 1]},
        {
            "expressionReceived message": 2,
            "localObjectForID root": 2,
            "proto_message counts": 1,
            "proto_message echo": 1,
            "sendCall answer": 2,
            "serialize": 2,
            "unserialize": 4,
        },
        {
            "expressionReceived answer": 2,
            "proto_answer": 2,
            "sendCall message": 2,
            "serialize": 4,
            "unserialize": 2,
        },
        ["a phantom", "boo", "tuple()", "dict()"],
    ],
    # remoteMessageReceived and perspectiveMessageReceived: passed on, and answered directly.
    "messages_received": [
        ["plain", "tuple(int 1, bytes b'2')"],
        ["other", "tuple(tuple(int 1, bytes b'2'))", "dict(str 'key': str 'é')"],
        ["third", "tuple(int 3)", "dict()"],
        ["anything", "tuple(tuple(int 1))", "dict(str 'key': int 2)"],
        "somebody, it is me",
    ],
    # jellyFor and unjellyFor that the application defines.
    "jelly_hooks": ["Coin", "12.34", "Coin", "12.35", "list(Coin, Coin)"],
    # getTypeToCopyFor, setFactoryForClass, getTypeToCopy, setCopierForClassTree, copyTags.
    "tags": [
        [["OddityOfNobody", "odd"], ["MadeOddity", "odd, made"]],
        [["WornCloth", "red"], ["WornShirt", "blue"]],
        [
            "field_things.Article",
            "field_things.Coin",
            "wardrobe.WornCloth",
            "wardrobe.WornShirt",
        ],
    ],
    # Each end sends its tracebacks only if this is enabled.
    "tracebacks": {
        "server's, shut": [TYPE, "Traceback unavailable\n"],
        "client's, shut": [TYPE, "Traceback unavailable\n"],
        "server's, open": [TYPE, [True, True]],
        "client's, open": [TYPE, [True, True]],
    },
    "no_answer": [True, None, [0, 1, 2], ["with an answer"]],
    "longest": [655_360] * 3,
    "too_long": {
        "argument": ["BananaError", "byte string is too long to send (655361)"],
        "and then": "still there",
    },
    # StringPager and FilePager, to the client and to the server, with callback and arguments.
    "paging": [PAGED, PAGED, [SENT, SENT]],
    "publishing": ["ReadArticle", ["tea", [1, 2, 3]], 7, True, True, 1],
}


def expected(pairing: Pairing) -> dict[str, Any]:
    """Return the results for a pairing: the table, and the improvements of this library."""
    table = dict(SEEN)
    too_long = dict(table["too_long"])
    if pairing.server == "ours":
        # Twisted's server ends the connection instead.
        too_long["result"] = TOO_LARGE
    if pairing.client == "ours":
        # It is found where it was made.
        table["unsendable"] = {**table["unsendable"], "argument": "CannotJelly"}
        # Every keyword belongs to the remote method; with Twisted's client these do not.
        others = [["_name", 2], ["pbcallback", 3], ["pberrback", 4], ["self", 1]]
        table["keywords"] = [True, others]
        too_long["argument"] = [TOO_LARGE[0], f"{TOO_LARGE[1]} (arguments of 'echo')"]
        too_long["result of the client's"] = TOO_LARGE
        # Twisted's getAllPages waits without limit if there is no such method.
        table["paging"] = [*table["paging"], "NoSuchMethod"]
    if pairing.client == pairing.server == "ours":
        # In the library's own dialect the texts name the fix.
        missing = "twisted.spread.flavors.NoSuchMethod"
        table["all_are_remote_errors"] = {
            **table["all_are_remote_errors"],
            "no method": ["bytes", missing, "no remote method 'nothing'"],
            "no method of an avatar": ["bytes", missing, "no remote method 'nothing'"],
            "wrong arguments": [
                "bytes",
                "builtins.TypeError",
                "note: missing 1 required positional argument: 'value'",
            ],
            "no object": [
                "bytes",
                "twisted.spread.pb.Error",
                "object 'nobody' is not exported to this connection",
            ],
        }
        # Two ends of this library use msgpack/1, in which a value may be as long as a message.
        for which in ("argument", "result", "result of the client's"):
            too_long[which] = ["arrived", 655_361]
    return {**table, "too_long": too_long}


run = run_fixture("field_server.py", "field_client.py")


@pytest.mark.parametrize("scenario", SEEN)
@pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
def test_the_field_works_in_every_pairing(run: Run, pairing: Pairing, scenario: str) -> None:
    """A program's results do not depend on which end is ours, except where the table says so."""
    lines, server = run(pairing)
    with explained_by(server):
        assert "failed" not in lines[scenario], lines[scenario]["failed"]
        assert expected(pairing)[scenario] == lines[scenario]["seen"]


@pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
def test_every_scenario_has_an_expectation(run: Run, pairing: Pairing) -> None:
    """A client runs exactly the scenarios of the table."""
    assert set(SEEN) == set(run(pairing)[0])
