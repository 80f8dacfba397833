"""The records of messages."""

from __future__ import annotations

import pytest
from msgspec import Raw
from msgspec.msgpack import Decoder, encode

from broker.core.wire.commands import COMMANDS
from broker.core.wire.messages import Credit, Decref, PlainCall, Record
from broker.core.wire.msgpack.frames import FRAMES


@pytest.mark.parametrize("record", [row.record for row in COMMANDS.values() if row.number])
def test_numbers(record: type[Record]) -> None:
    """A record with a number is an array that starts with this number."""
    fields = {
        "name": "m",
        "args": (),
        "kw": {},
        "value": (),
        "code": "c",
        "text": "t",
        "data": b"x",
        "meta": {"x-tenant": "a"},
        "terms": {"frame": 1},
        "elsewhere": (),
        "items": Raw(b"\x90"),
    }
    if record is Credit:
        fields["items"] = 1
    message = record(*[fields.get(name, 1) for name in record.__struct_fields__])
    data = encode(message)
    assert data[1] == COMMANDS[record].number
    assert type(Decoder(FRAMES).decode(data)) is record


def test_defaults() -> None:
    """One reception is released, and a call has no deadline, unless the sender says so."""
    assert Decref(1).times == 1
    assert PlainCall(1, 1, "m", (), {}).deadline is None
