"""The published functions, and what the package gives out."""

from __future__ import annotations

from typing import Any

import pytest

import jelly


class Ordinary:
    """An instance that nobody allows."""


def test_there_and_back() -> None:
    """``jelly`` and ``unjelly`` are each other's inverse, sharing included."""
    shared = [1, "two"]
    made = jelly.unjelly(jelly.jelly({"a": shared, "b": (shared,)}))
    assert made == {"a": shared, "b": (shared,)}
    assert made["a"] is made["b"][0]


def test_the_default_tasters() -> None:
    """Unless given another, anything goes out, and what ``globalSecurity`` allows comes in."""
    with pytest.raises(jelly.CannotJelly):
        jelly.jelly(Ordinary(), jelly.globalSecurity)
    dummy = jelly.DummySecurityOptions()
    expression = jelly.jelly(Ordinary())
    assert expression == jelly.jelly(Ordinary(), dummy)
    with pytest.raises(jelly.InsecureJelly):
        jelly.unjelly(expression)
    assert type(jelly.unjelly(expression, dummy)) is Ordinary


def test_persistence_and_invoker() -> None:
    """The callbacks and the invoker reach the hooks."""
    seen: list[Any] = []

    def store(value: Any, jellier: Any) -> Any:
        seen.append(jellier.invoker)
        return b"id"

    def load(identity: Any, unjellier: Any) -> Any:
        seen.append(unjellier.invoker)
        return identity

    expression = jelly.jelly([Ordinary()], None, store, "sender")
    assert jelly.unjelly(expression, None, load, "receiver") == [b"id"]
    assert seen == ["sender", "receiver"]


def test_all() -> None:
    """Every name that is given out exists."""
    assert sorted(jelly.__all__, key=str.casefold) == sorted(set(jelly.__all__), key=str.casefold)
    for name in jelly.__all__:
        assert getattr(jelly, name) is not None
