"""Keys, and the record of a call that runs at most once."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.calls.once import OnceCall, OnceKey, names_objects, read_key
from broker.core.wire.msgpack.replies import KeptReply
from broker.defer import Deferred
from broker.errors import ResultLost, WrongArguments

NONCE = "0123456789abcdefABCD_-"
LAST = (1 << 63) - 1
REPLY = KeptReply(b"\x93\x05", b"12345")


@pytest.mark.parametrize(("number", "settled"), [(1, 0), (7, 6), (1, LAST), (LAST, LAST)])
def test_keys(number: int, settled: int) -> None:
    """A nonce and two numbers."""
    assert read_key(f"{NONCE}.{number}.{settled}") == OnceKey(NONCE, number, settled)


@pytest.mark.parametrize(
    "text", ["", "..", f"{NONCE}.0.0", f"{NONCE}.1.{LAST + 1}", f"{NONCE}.{LAST + 1}.0", "é.1.0"]
)
def test_malformed_keys(text: str) -> None:
    """The error does not repeat the text."""
    with pytest.raises(WrongArguments, match=r"^the key of once is malformed$"):
        read_key(text)


def outcomes(deferred: Any) -> list[Any]:
    """The results that a Deferred has had, and will have."""
    results: list[Any] = []
    deferred.addBoth(lambda result: results.append(getattr(result, "value", result)))
    return results


def test_a_call() -> None:
    """Those that wait get the reply at the end, in their order; later ones get it at once."""
    ended: list[OnceCall] = []
    call = OnceCall("m", 5, ended.append)
    waits = [call.outcome() for _ in range(3)]
    first, second, third = map(outcomes, waits)
    assert isinstance(waits[1], Deferred)
    waits[1].cancel()
    assert len(second) == 1
    assert not ended
    call.end(REPLY, True)
    assert (first, third, call.outcome()) == ([REPLY], [REPLY], REPLY)
    assert (ended, call.is_running, call.was_run) == ([call], False, True)
    call.end(None, True)
    assert (len(ended), call.outcome()) == (1, REPLY)


@pytest.mark.parametrize("reply", [None, KeptReply(b"", b"123456")])
def test_a_lost_reply(reply: KeptReply | None) -> None:
    """Also one that is too large; the error tells that the call has run."""
    call = OnceCall("m", 5, lambda call: None)
    wait = outcomes(call.outcome())
    call.end(reply, True)
    assert isinstance(wait[0], ResultLost)
    with pytest.raises(ResultLost, match=r"^the call has run; its result cannot be repeated$"):
        call.outcome()


@pytest.mark.parametrize(
    ("expression", "is_found"),
    [
        (1, False),
        (b"remote", False),
        ([b"tuple", b"remote", [b"list", b"local"]], False),
        ([b"remote", 1], True),
        ([b"local", b"root"], True),
        ([b"list", [b"tuple", [b"lcache", 1]]], True),
        ([b"some.Class", [b"dictionary", [b"key", [b"cached", 1]]]], True),
        ([b"dictionary", [b"local", 1]], False),
        ([b"dictionary", [b"local", [b"stream", 1]]], True),
        ([b"reference", 1, [b"promised", 1]], True),
        ([b"list", *range(100)], True),
        ([b"list", *range(99)], False),
    ],
)
def test_objects_in_an_expression(expression: Any, is_found: bool) -> None:
    """References, caches and streams at each place; a key of a dict is none."""
    assert names_objects(expression, 100) is is_found
