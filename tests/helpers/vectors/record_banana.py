"""Record banana.json and banana_decoder.json."""

from __future__ import annotations

from typing import Any

from twisted.spread import banana

from vectors import banana_cases
from vectors.notation import to_json
from vectors.recording import encode, endpoint, error_fields, hex_fields


def record_banana() -> list[dict[str, Any]]:
    """The encoder's and the decoder's cases."""
    vectors = []
    for name, expression in banana_cases.encoded():
        for dialect in banana_cases.DIALECTS:
            case = {"name": name, "dialect": dialect, "expression": to_json(expression)}
            try:
                case |= hex_fields(encode(expression, dialect))
            except banana.BananaError as error:
                case["error"] = error_fields(error)
            vectors.append(case)
    return vectors


def record_banana_decoder() -> list[dict[str, Any]]:
    """What Twisted makes of bytes that no encoder writes."""
    vectors = []
    for name, dialect, data in banana_cases.decoded():
        protocol, received = endpoint(dialect), []
        protocol.expressionReceived = received.append
        case: dict[str, Any] = {"name": name, "dialect": dialect, "hex": data.hex()}
        try:
            protocol.dataReceived(data)
        except Exception as error:
            case["error"] = error_fields(error)
        else:
            case["waiting"] = bool(protocol.buffer or protocol.listStack)
        case["expressions"] = to_json(received)
        vectors.append(case)
    return vectors
