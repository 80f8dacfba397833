"""Origins are written as browsers write them, or the argument is refused."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import ConfigError, WrongType
from broker.net.websocket.origins import checked_origins, refused_origin

RIGHT = ["https://broker.example", "http://127.0.0.1:8000", "http://[::1]:8000",
         "app://host", "https://xn--bcher-kva.example"]  # fmt: skip


def test_right() -> None:
    """A list, a tuple or a set of origins is taken."""
    assert checked_origins(RIGHT) == frozenset(RIGHT)
    assert checked_origins(set(RIGHT)) == frozenset(RIGHT)


@pytest.mark.parametrize(
    "origin",
    ["null", "*", "", "broker.example", "https://broker.example/", "https://Broker.example",
     "https://broker.example:443", "http://broker.example:80", "https://user@broker.example",
     "https://*.example", "https://broker.example?x"],
)  # fmt: skip
def test_wrong(origin: str) -> None:
    """What no browser sends is an error, which says how to write it."""
    with pytest.raises(ConfigError, match=r"write https://broker\.example"):
        checked_origins([origin])


@pytest.mark.parametrize("given", ["https://broker.example", None, [1], 5])
def test_wrong_types(given: Any) -> None:
    """A text is not a list of them."""
    with pytest.raises(WrongType):
        checked_origins(given)


def test_texts() -> None:
    """The text of a refusal is one short printable line."""
    text = refused_origin(frozenset(), ["https://\x1b[31m" + "x" * 1000])
    assert text is not None and text.isprintable() and len(text) < 300
