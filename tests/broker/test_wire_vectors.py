"""The core of the protocol against conversations that were recorded from Twisted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from vectors import notation

from broker.core.wire import messages
from broker.core.wire.dialects import DIALECTS
from broker.core.wire.expressions import parse
from broker.core.wire.handshake import Handshake
from jelly.codec import Reader, Writer
from jelly.errors import ProtocolError
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

VOCABULARY = {"pb": PB_VOCABULARY, "none": NONE_VOCABULARY}
RECORDS = {
    "version": messages.Version,
    "message": messages.GraphCall,
    "cachemessage": messages.GraphCallToCache,
    "answer": messages.GraphAnswer,
    "error": messages.GraphError,
    "decref": messages.Decref,
    "decache": messages.Decache,
    "uncache": messages.Uncache,
    "didNotUnderstand": messages.DidNotUnderstand,
}
SCENARIOS = [pytest.param(case, id=case["name"]) for case in notation.load("messages")]


def spoken(scenario: Any) -> list[tuple[str, str, bytes, Any]]:
    """Side, dialect, bytes and expression of each message."""
    return [
        (
            entry["from"],
            entry["dialect"],
            bytes.fromhex(entry["hex"]),
            notation.from_json(entry["expression"]),
        )
        for entry in scenario["messages"]
        if "hex" in entry
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_message_has_the_recorded_bytes(scenario: Any) -> None:
    """Our writer makes Twisted's bytes of each message, and our reader its expression of them."""
    for _, dialect, data, expression in spoken(scenario):
        assert Writer(Limits(), VOCABULARY[dialect]).encode(expression) == data
        reader = Reader(Limits(), VOCABULARY[dialect])
        reader.feed(data)
        assert reader.read() == [expression]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_message_is_the_record_of_its_command(scenario: Any) -> None:
    """Every message after the handshake parses to its record, field for field."""
    for _, _, _, expression in spoken(scenario):
        if not isinstance(expression, list) or expression[0] in (b"pb", b"none"):
            continue
        record = RECORDS.get(expression[0].decode())
        if record is None:
            assert parse(expression) == messages.UnknownCommand(expression[0])
            continue
        message = parse(expression)
        assert type(message) is record
        values = msgspec.structs.astuple(message)
        fields = [f.encode() if isinstance(f, str) else f for f in values]
        # What PB's wire has no place for stands behind its fields, and is as it always is here.
        beyond = fields[len(expression) - 1 :]
        del fields[len(expression) - 1 :]
        known = msgspec.structs.fields(record)
        assert beyond == [field.default for field in known[len(fields) :]]
        if expression[0] not in (b"message", b"cachemessage"):
            assert fields == expression[1:]
        elif expression[3].isascii():
            assert fields == [*expression[1:4], bool(expression[4]), *expression[5:]]


def test_an_expression_that_is_no_list_is_no_message() -> None:
    """The recorded number is refused, as it is by Twisted."""
    (scenario,) = (case for case in notation.load("messages") if case["name"] == "message_no_list")
    with pytest.raises(ProtocolError):
        parse(spoken(scenario)[-1][3])


@pytest.mark.parametrize(
    ("name", "known"), [("handshake", ["pb", "none"]), ("handshake_none", ["none"])]
)
def test_both_ends_of_the_handshake(name: str, known: list[str]) -> None:
    """Our server opens as Twisted's does, our client picks the same, both settle on it."""
    (scenario,) = (case for case in notation.load("messages") if case["name"] == name)
    (_, _, _, offer), (_, _, _, choice), *_ = spoken(scenario)
    twisted_dialects = [dialect for dialect in DIALECTS if dialect.name in (b"pb", b"none")]
    server = Handshake(is_client=False, offered=twisted_dialects)
    assert list(server.opening() or ()) == offer
    client = Handshake(
        is_client=True, offered=[d for d in twisted_dialects if d.name.decode() in known]
    )
    assert client.opening() is None
    dialect, reply = client.receive(offer)
    assert reply == choice == dialect.name
    assert server.receive(choice) == (dialect, None)


@pytest.mark.parametrize(
    ("name", "known"),
    [("handshake_nothing_in_common", [b"none"]), ("handshake_unknown_choice", [])],
)
def test_handshakes_that_fail(name: str, known: list[bytes]) -> None:
    """What made Twisted hang up is an error of the protocol."""
    (scenario,) = (case for case in notation.load("messages") if case["name"] == name)
    expression = spoken(scenario)[-1][3]
    offered = [dialect for dialect in DIALECTS if dialect.name in known] or DIALECTS
    with pytest.raises(ProtocolError):
        Handshake(is_client=bool(known), offered=offered).receive(expression)
