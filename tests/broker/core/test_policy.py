"""The two policies: each difference between them, and nothing else."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from msgspec import structs
from support.memory import BrokerPair

from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConfigError, WrongType
from broker.flavors.copyable import Copyable, RemoteCopy, register, set_fields
from broker.flavors.failures import shown_error
from broker.flavors.referenceable import Root
from jelly.errors import InsecureJelly
from jelly.limits import Limits
from jelly.registry import Registry, defaults
from jelly.security import SecurityOptions

DIFFERENCES = {
    # name: (STRICT, PUBLISHED), as the table of two policies has them
    "challenge_login": (False, True),
    "declared_state": (True, False),
    "send_unpersistable": (False, True),
    "show_all_errors": (False, True),
    "published_errors": (False, True),
    "allow_code": (False, True),
    "dynamic_methods": (False, True),
    "cancel_on_disconnect": (True, False),
    "max_refs": (10_000, 1024),
    "text_user_names": (True, False),
    "insecure_plaintext": (False, True),
}
OBJECTS = {"security", "registry"}


def test_the_differences() -> None:
    """The two records differ in the rows of the table, with its values, and nowhere else."""
    names = {field.name for field in structs.fields(Policy)}
    found = {
        name: (getattr(STRICT, name), getattr(PUBLISHED, name))
        for name in names - OBJECTS - {"limits"}
        if getattr(STRICT, name) != getattr(PUBLISHED, name)
    }
    assert found == DIFFERENCES


def test_what_is_registered() -> None:
    """Strict sees the classes of ``register`` only, published those of the published family too."""
    assert STRICT.registry is defaults.declared
    try:
        defaults.published.add_class(b"published", RemoteCopy)
        defaults.declared.add_class(b"declared", RemoteCopy)
        found = [
            [policy.registry.class_for(tag) for tag in (b"published", b"declared")]
            for policy in (STRICT, PUBLISHED)
        ]
        assert found == [[None, RemoteCopy], [RemoteCopy, RemoteCopy]]
    finally:
        del defaults.published.classes[b"published"]
        del defaults.declared.classes[b"declared"]


def test_what_may_come_in() -> None:
    """Published goes by ``globalSecurity``; strict by basic types of its own, without code."""
    assert PUBLISHED.security is defaults.security
    assert STRICT.security is not defaults.security
    for tag in ("list", "dictionary", "tuple", "unicode", "set", "reference"):
        assert STRICT.security.isTypeAllowed(tag)
    for tag in ("class", "module", "function", "method", "instance"):
        assert not STRICT.security.isTypeAllowed(tag)


def test_strict_is_the_default() -> None:
    """``Policy()`` is the strict one."""
    assert Policy().but(security=STRICT.security) == STRICT


def test_the_same_limits() -> None:
    """Neither lets a peer use up memory or time: both have the same limits, but one, and timers."""
    assert STRICT.limits == Limits()
    assert PUBLISHED.limits == Limits().but(max_expanded=10_000_000)
    assert STRICT.offer_timeout == PUBLISHED.offer_timeout == 10.0
    assert STRICT.login_timeout == PUBLISHED.login_timeout == 30.0
    assert STRICT.handshake_timeout == PUBLISHED.handshake_timeout == 10.0


def test_but() -> None:
    """A policy is changed by making another."""
    changed = STRICT.but(max_calls=1)
    assert (changed.max_calls, STRICT.max_calls) == (1, 1024)
    assert changed.registry is STRICT.registry
    with pytest.raises(AttributeError, match="immutable"):
        STRICT.max_calls = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        STRICT.but(no_such=1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"dialects": ("msgpack",)},
            "there is no dialect 'msgpack'; there are msgpack/1, pb, none",
        ),
        ({"dialects": "pb"}, "there is no dialect 'p'; there are msgpack/1, pb, none"),
        ({"dialects": ()}, "dialects=() leaves nothing to speak"),
        (
            {"dialects": ("msgpack/1",), "limits": Limits(max_depth=101)},
            "dialects=('msgpack/1',) leaves nothing to speak where max_depth is 101",
        ),
    ],
)
def test_no_dialect_is_left(changes: dict[str, Any], text: str) -> None:
    """A policy under which no connection could be made is refused at once, however it is made."""
    for make in (Policy, STRICT.but):
        with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
            make(**changes)


def test_one_dialect_is_enough() -> None:
    """Of one name, and of one that the limits leave."""
    assert STRICT.but(dialects=["none"], limits=Limits(max_depth=200)).dialects == ["none"]
    assert STRICT.but(dialects=("msgpack/1", "pb"), limits=Limits(max_depth=101))


class Dynamic(Root):
    """Has a method in its instances only."""

    def __init__(self) -> None:
        self.remote_own = lambda: "own"

    def remote_fail(self) -> None:
        """Raise what nobody registered."""
        raise KeyError("secret")


@pytest.mark.parametrize(("policy", "finds"), [(STRICT, False), (PUBLISHED, True)])
def test_methods_of_instances(policy: Policy, finds: bool) -> None:
    """Only published finds what is not in the class's table."""
    outcome = BrokerPair(Dynamic(), policy=policy).call("own")
    assert (outcome == "own") is finds


@pytest.mark.parametrize(("policy", "shows"), [(STRICT, False), (PUBLISHED, True)])
def test_texts_of_exceptions(policy: Policy, shows: bool) -> None:
    """Strict shows an id for an exception that is not registered, published its text."""
    failure: Any = BrokerPair(Dynamic(), policy=policy).call("fail")
    assert ("secret" in failure.value) is shows
    assert failure.value.startswith("internal error (id ") is not shows
    assert "KeyError" in failure.type if shows else "RemoteError" in failure.type
    shown, error_id = shown_error(KeyError("secret"), policy)
    assert (error_id is None) is shows
    assert not shown.unsafeTracebacks


@pytest.mark.parametrize("tag", [b"class", b"module", b"function"])
def test_code(tag: bytes) -> None:
    """Strict takes no code, even where its security would."""
    name = [tag, b"jelly.limits.Limits"]
    for policy in (STRICT, PUBLISHED):
        pair = BrokerPair(policy=policy)
        with pytest.raises(InsecureJelly):
            pair.server.unserialize(name)


def test_undeclared_state() -> None:
    """A class without declared fields is refused at ``register``, whose classes strict takes."""

    class Loose(Copyable, RemoteCopy):
        pass

    with pytest.raises(ValueError, match="declares no fields"):
        register(Loose)
    loose = Loose()
    set_fields(loose, {"a": 1})
    assert vars(loose) == {"a": 1}
    with pytest.raises(InsecureJelly, match="hides what"):
        set_fields(loose, {"getStateToCopy": 1})


def test_a_registry_of_its_own() -> None:
    """A policy may have classes that no other sees."""
    registry = Registry(defaults.declared)
    registry.add_class(b"mine", RemoteCopy)
    assert STRICT.but(registry=registry).registry.class_for(b"mine") is RemoteCopy
    assert STRICT.registry.class_for(b"mine") is None


NUMBERS = {
    field.name: type(getattr(STRICT, field.name))
    for field in structs.fields(Policy)
    if type(getattr(STRICT, field.name)) in (int, float)
}
MAY_BE_ZERO = {"max_calls", "max_promised", "max_refs", "max_streams", "login_refs", "turn_time"}


@pytest.mark.parametrize("value", ["x", "1", None, True, (1,), 1j])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_another_type(name: str, value: Any) -> None:
    """A number that is none is refused, by its name, as a ConfigError and a TypeError."""
    for make in (Policy, STRICT.but):
        with pytest.raises(WrongType, match=rf"^{name} is an? (int|number of seconds), not "):
            make(**{name: value})


@pytest.mark.parametrize("value", [-1, -0.5, 0, 0.0, math.nan, -math.inf])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_cannot_be(name: str, value: float) -> None:
    """A number that is not positive is refused; 0 is none at all where that makes sense."""
    if value == 0 and name in MAY_BE_ZERO:
        value = NUMBERS[name](value)
        assert getattr(STRICT.but(**{name: value}), name) == 0
        return
    with pytest.raises(ConfigError, match=rf"^{name}"):
        STRICT.but(**{name: value})


def test_seconds() -> None:
    """Seconds may be ints, or without end; counts may not."""
    assert STRICT.but(ping_after=1, login_timeout=math.inf).login_timeout == math.inf
    with pytest.raises(WrongType, match="max_calls is an int, not float"):
        STRICT.but(max_calls=math.inf)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"challenge_login": "no"}, "challenge_login is True or False, not str"),
        ({"limits": 5}, "limits is a Limits, such as Limits(max_nodes=1000), not int"),
        ({"login_limits": Limits}, "login_limits is a Limits, such as Limits(max_nodes=1000),"),
        ({"limits": Limits(max_depth=0)}, "limits: with a max_depth of 0 no message is allowed"),
        ({"security": None}, "security is a SecurityOptions, or an object with its methods, not"),
        ({"security": SecurityOptions}, "security is a SecurityOptions, or an object with its"),
        ({"registry": {}}, "registry is a Registry of jelly, not dict"),
        ({"dialects": None}, "dialects is a tuple of names, such as"),
    ],
)
def test_other_settings(changes: dict[str, Any], text: str) -> None:
    """What is no number is refused by its type, too."""
    for make in (Policy, STRICT.but):
        with pytest.raises(ConfigError, match=f"^{re.escape(text)}"):
            make(**changes)
