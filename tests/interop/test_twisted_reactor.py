"""This library's factories on Twisted's reactor: one program, with a test for each scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.peers import Peer

HERE = Path(__file__).parent

LOST = ["Twisted's PBConnectionLost", "our PBConnectionLost"]
REFUSED = ["Twisted's ConnectionRefusedError", "our ConnectionRefusedError"]
WRONG = ["Twisted's UnauthorizedLogin", "our UnauthorizedLogin"]
LONG = 600_000

# For each kind of error that a method passes as Twisted's Failure: its trap, type, and text.
FAULTS = {
    "OurOwn": [["OurOwn"], "__main__.OurOwn", "because OurOwn"],
    "KeyError": [["KeyError", "LookupError"], "builtins.KeyError", "'because KeyError'"],
    "pb.Error": [
        ["Twisted's pb.Error", "our pb.Error"],
        "twisted.spread.pb.Error",
        "because pb.Error",
    ],
    "Twisted's pb.Error": [
        ["Twisted's pb.Error", "our pb.Error"],
        "twisted.spread.pb.Error",
        "because Twisted's pb.Error",
    ],
    "Twisted's UnauthorizedLogin": [
        WRONG,
        "twisted.cred.error.UnauthorizedLogin",
        "because Twisted's UnauthorizedLogin",
    ],
}
WAYS = ("failing", "failing_later", "errback", "returns_failure")

SEEN: dict[str, Any] = {
    # listenTCP and connectTCP: calls, callbacks, one reference for the root, and the end.
    "root": [
        True,
        ["heard", "you"],
        True,
        ["twisted.internet.address", "127.0.0.1"],
        True,
        LOST,
        "dead",
    ],
    "hung_up_by_server": LOST,
    # A realm may return a Twisted Deferred; the logout follows the disconnect.
    "login": [WRONG, ["heard", "hello alice"], "logged out"],
    # Returned, inside our chain, awaited in an async method, of a Twisted generator.
    "deferreds_of_twisted": ["answer", ["answer"], "answer", ["heard", "a generator"]],
    # Failed at once, later, passed to errback, returned by a callback.
    "failures_of_twisted": {
        f"{way} {kind}": expected for way in WAYS for kind, expected in FAULTS.items()
    },
    # With login and callRemote: a Twisted generator, chains, gatherResults, trap and cancel.
    "as_twisted": [
        True,
        WRONG,
        ["heard", "hello alice"],
        ["heard", "bye alice"],
        [["heard", "a alice"], ["heard", "b alice"]],
        "NoSuchMethod",
        "no remote method 'nothing'",
        ["Twisted's CancelledError", "our CancelledError"],
    ],
    "much_data": [True, [50_000] * 8],
    # While the client does not read, the server starts few of its calls; then all are answered.
    "paused": [True, True],
    # Twisted's endpoints connect to our Broker.
    "over_endpoints": ["Broker", True, ["heard", "endpoints"], LOST],
    # listenSSL and connectSSL, with two kinds of context; a password is sent unchanged over TLS.
    # The socket under Twisted's TLS is found, where keepalive would be set.
    "over_tls": [["heard", "over TLS, alice"], [LONG + 5, "password"], True, "logged out"] * 2,
    "refused": [REFUSED, REFUSED],
    # Twisted's own factories at the other end, in the same process.
    "twisted_client": [["heard", "Twisted"], ["KeyError", "LookupError"]],
    "twisted_server": [["heard", "Twisted"], ["KeyError", "LookupError"], True],
    # A method of Twisted's server returns our Deferred, to our client and to Twisted's.
    "passed_on": [
        "answer",
        ["KeyError", "LookupError"],
        ["Twisted's NoSuchMethod", "by name", "our NoSuchMethod"],
        "answer",
        ["KeyError", "LookupError"],
        ["Twisted's NoSuchMethod", "by name"],
    ],
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The results of each scenario."""
    authority = Authority(tmp_path_factory.mktemp("pem"))
    pair = authority.issue(["127.0.0.1"])
    paths = pair.certificate_path, pair.key_path, authority.ca_path
    with Peer(HERE / "on_twisted.py", *map(str, paths)) as program:
        return {line["scenario"]: line for line in program.read_all()}


@pytest.mark.parametrize("scenario", SEEN)
def test_on_twisted_s_reactor(seen: dict[str, dict[str, Any]], scenario: str) -> None:
    """A Twisted program may use our factories and methods in place of Twisted's."""
    line = seen[scenario]
    assert "failed" not in line, line["failed"]
    assert SEEN[scenario] == line["seen"]


def test_every_scenario_has_an_expectation(seen: dict[str, dict[str, Any]]) -> None:
    """The program runs exactly the scenarios of the table."""
    assert set(SEEN) == set(seen)
