"""Errors of generated classes: each arrives as its class or as RemoteError, and prints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory import BrokerPair

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConfigError
from jelly.registry import defaults

POLICIES = [
    policy.but(dialects=dialects)
    for policy in (STRICT, PUBLISHED)
    for dialects in (("pb",), ("msgpack/1",))
]
KINDS = [int, str, float, bytes, list[int], dict[str, int], int | None, Any, "int", "nowhere.Not"]
VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=5),
    st.floats(allow_nan=False),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.sampled_from([object(), broker.Referenceable(), "\ud800", 10**1000]),
)


def raises(*args: Any, **kw: Any) -> Any:
    """Stand for a method of a class that is not written with care."""
    raise KeyError("secret")


METHODS = {
    "__str__": st.sampled_from([raises, lambda self: 5, lambda self: "said"]),
    "__repr__": st.sampled_from([raises, lambda self: "told"]),
    "__init__": st.sampled_from([raises, lambda self, *args, **kw: None]),
    "__setattr__": st.just(raises),
    "__eq__": st.just(raises),
    "__post_init__": st.just(raises),
}


@contextlib.contextmanager
def registered(cls: Any) -> Iterator[bool]:
    """Register a class for a while; tell whether it may be."""
    declared = defaults.declared
    try:
        broker.register(cls, "generated.Fault")
    except ConfigError:
        yield False
        return
    try:
        yield True
    finally:
        del declared.errors["generated.Fault"], declared.types[cls]
        declared.with_fields.discard(cls)


class Faulty(broker.Root):
    """Raises what it is given."""

    def __init__(self, error: BaseException):
        self.error = error

    def remote_fail(self) -> None:
        """Raise it."""
        raise self.error


@given(
    st.sampled_from([broker.Error, Exception, KeyError, OSError, broker.ServerBusy]),
    st.dictionaries(st.sampled_from(["a", "b", "args"]), st.sampled_from(KINDS), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3),
    st.fixed_dictionaries({}, optional=METHODS),
    st.text(max_size=10),
    st.sampled_from(POLICIES),
)  # fmt: skip
@settings(max_examples=400, deadline=None, derandomize=True)
def test_an_error_always_arrives(
    base: Any, kinds: Any, fields: Any, methods: Any, text: str, policy: Policy
) -> None:
    """Whatever the class, its fields and its text are, the caller gets an error that prints."""
    cls = type("Fault", (base,), {"__annotations__": kinds, **methods})
    error = cls.__new__(cls, text)
    object.__setattr__(error, "__dict__", dict(fields))
    with registered(cls) as is_registered:
        failure = BrokerPair(Faulty(error), policy=policy).call("fail")
        arrived = failure.as_exception()
        assert arrived.__class__ in {cls, broker.RemoteError}
        assert is_registered or arrived.__class__ is broker.RemoteError
        assert isinstance(str(arrived), str)
        assert isinstance(repr(arrived), str)
        assert isinstance(str(failure), str)
