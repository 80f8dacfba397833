"""What the recorders share: the installed Twisted, and how bytes and errors are written down."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from twisted.spread import banana, flavors, jelly

from vectors import graphs
from vectors.notation import to_json

HEX_LIMIT = 4096
TEXT_LIMIT = 200


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """Keep the bytes."""
        self.written += data


class Library:
    """The base classes of ``graphs.make_classes``, from Twisted."""

    Jellyable = jelly.Jellyable
    Unjellyable = jelly.Unjellyable
    Copyable = flavors.Copyable
    RemoteCopy = flavors.RemoteCopy


def hex_fields(data: bytes) -> dict[str, Any]:
    """Bytes as hex, or by length, digest and beginning where hex would be long."""
    if len(data) <= HEX_LIMIT:
        return {"hex": data.hex()}
    digest = hashlib.sha256(data).hexdigest()
    return {"length": len(data), "sha256": digest, "begins": data[:32].hex()}


def error_fields(error: Exception) -> dict[str, str]:
    """The name and text of what Twisted raised; where the text is Python's own, only the name."""
    text = re.sub(r" at 0x[0-9a-f]+", "", str(error))
    if len(text) > TEXT_LIMIT:
        text = text[:40] + "…"
    published = type(error).__module__.startswith("twisted.")
    return (
        {"type": type(error).__name__, "text": text}
        if published
        else {"type": type(error).__name__}
    )


def endpoint(dialect: str) -> Any:
    """A Banana past its handshake."""
    protocol = banana.Banana()
    protocol.transport = Sink()
    protocol.connectionMade()
    protocol.currentDialect = dialect.encode()
    return protocol


def encode(expression: Any, dialect: str) -> bytes:
    """What Twisted writes for an expression."""
    protocol = endpoint(dialect)
    protocol.sendEncoded(expression)
    return protocol.transport.written


def security(name: str, classes: Any) -> Any:
    """The security options that a vector names (see README.md)."""
    if name == "dummy":
        return jelly.DummySecurityOptions()
    options = jelly.SecurityOptions()
    if name != "nothing":
        options.allowBasicTypes()
    if name == "function":
        options.allowTypes("function")
    if name == "module":
        options.allowInstancesOf(classes.Plain)
    return options


def jellied(value: Any, taster: Any, **keywords: Any) -> dict[str, Any]:
    """The expression of a value, and its bytes in ``pb`` where banana takes it."""
    expression = jelly.jelly(value, taster, **keywords)
    fields: dict[str, Any] = {"expression": to_json(expression)}
    try:
        fields["hex"] = encode(expression, "pb").hex()
    except banana.BananaError as error:
        fields["banana_error"] = error_fields(error)
    return fields


def unjellied(expression: Any, taster: Any, value: Any, **keywords: Any) -> dict[str, Any]:
    """What comes back, where it is not the value itself."""
    try:
        back = jelly.unjelly(expression, taster, **keywords)
    except Exception as error:
        return {"back_error": error_fields(error)}
    portrait = graphs.portrait(back)
    return {} if portrait == graphs.portrait(value) else {"back": repr(portrait)}
