"""Stand-ins in msgspec's types, and the errors of msgspec without values."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from broker.flavors.contracts.stand_ins import (
    Mismatch,
    check_supported,
    convert,
    converted,
    stand_in,
    wrong,
)


def double(value: object) -> object:
    """Take an int."""
    if type(value) is not int:
        raise wrong("int", value)
    return value * 2


def nested(value: object) -> object:
    """Raise the error of a value inside."""
    raise Mismatch("Expected `x`", "[1].y")


def test_a_stand_in() -> None:
    """Its function converts, wherever it stands in a type."""
    twice: Any = stand_in("Twice", double)
    assert convert([1, 2], list[twice]) == [2, 4]
    assert convert(None, twice | None) is None
    check_supported(dict[str, twice])
    assert twice.__name__ == "Twice"


def test_places_are_joined() -> None:
    """Those of the stand-in, and those of the types around it."""
    inner: Any = stand_in("Inner", nested)
    with pytest.raises(Mismatch) as caught:
        convert([[3]], list[list[inner]])
    assert (caught.value.place, caught.value.text) == ("[0][0][1].y", "Expected `x`")


def test_classes_without_a_rule() -> None:
    """A path is made of text; of another class, an instance passes."""
    assert converted(PurePosixPath, "a/b") == PurePosixPath("a/b")
    assert converted(Mismatch, error := Mismatch("x")) is error
    for cls, value, text in (
        (Path, 3, "Expected `str`, got `int`"),
        (Mismatch, 3, "Expected `Mismatch`, got `int`"),
    ):
        with pytest.raises(TypeError) as caught:
            converted(cls, value)
        assert str(caught.value) == text


def test_unsupported_types() -> None:
    """msgspec says which."""
    with pytest.raises(TypeError, match="Type unions may not contain"):
        check_supported(str | bytes)


def test_texts_are_printable_and_short() -> None:
    """A hook of the application may raise any text."""

    def refuse(value: object) -> object:
        raise ValueError("\x1b" + "x" * 1000)

    refused: Any = stand_in("Refused", refuse)
    with pytest.raises(Mismatch) as caught:
        convert(1, refused)
    assert len(caught.value.text) <= 201
    assert caught.value.text.isprintable()
