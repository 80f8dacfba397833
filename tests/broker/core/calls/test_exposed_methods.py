"""Rows: what Python would call is exposed, with its conditions; what only looks so is not."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest
from support.memory import BrokerPair

from broker.core.calls.dispatch import condition
from broker.core.calls.exposed_methods import Refused, conditions_of, row_of
from broker.core.policy import PUBLISHED, STRICT
from broker.defer import inlineCallbacks
from broker.errors import NoSuchMethod, WrongArguments
from broker.failure import Failure
from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.streams import RemoteStream, stream_of
from broker.flavors.viewable import Viewable


class Decorator:
    """A decorator that is an object and a descriptor."""

    def __init__(self, function: Any):
        self.inner = function

    def __call__(self, *args: Any, **kw: Any) -> Any:
        """Call the function."""
        return ["decorated", self.inner(*args, **kw)]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind it."""
        return functools.partial(self, instance)


class Greeting:
    """A callable object that is no descriptor."""

    def __call__(self, name: str) -> str:
        """Greet."""
        return f"hello {name}"


def wrapping(function: Any) -> Any:
    """Decorate as most decorators do."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kw: Any) -> Any:
        return function(*args, **kw)

    return wrapper


class Base(Root):
    """Has plain methods, which are overridden below."""

    def remote_static(self, value: int) -> Any:
        """Be overridden."""
        return "of the base"

    remote_cached = remote_partial = remote_decorated = remote_none = remote_value = remote_static
    remote_nested = remote_static


class House(Base):
    """Has methods of every kind."""

    name = "house"

    @staticmethod
    def remote_static(value: int) -> Any:  # type: ignore[override]
        """Take no instance."""
        return ["static", value]

    @classmethod
    def remote_class(cls, value: int) -> Any:
        """Take the class."""
        return [cls.__name__, value]

    @functools.cache  # noqa: B019
    def remote_cached(self, value: int) -> Any:
        """Be cached."""
        return [self.name, value]

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def remote_lru(self, value: int) -> Any:
        """Be cached, too."""
        return [self.name, value]

    def pair(self, first: int, second: int) -> Any:
        """Have no prefix."""
        return [self.name, first, second]

    remote_partial = functools.partialmethod(pair, 5)

    @functools.singledispatchmethod
    def remote_single(self, value: Any) -> Any:
        """Be called for any other type."""
        return [self.name, "any"]

    @remote_single.register
    def _(self, value: int) -> Any:
        return [self.name, "int", value]

    @Decorator
    def remote_decorated(self, value: int) -> Any:
        """Be decorated."""
        return [self.name, value]

    remote_greeting = Greeting()
    remote_length = len

    @wrapping
    async def remote_coroutine(self, value: int) -> Any:
        """Be a coroutine function behind a decorator."""
        return [self.name, value]

    @inlineCallbacks
    def remote_generator(self, value: int) -> Any:
        """Be a generator behind a decorator."""
        result = yield value
        return [self.name, result]

    @property
    def remote_property(self) -> Any:
        """Never be asked by a peer."""
        raise AssertionError("a property was asked")

    @functools.cached_property
    def remote_lazy(self) -> Any:
        """Never be asked by a peer."""
        raise AssertionError("a property was asked")

    class remote_nested:
        """A class."""

    remote_none = None  # type: ignore[assignment]
    remote_value = 5  # type: ignore[assignment]

    async def remote_stream(self, value: int) -> Any:
        """Be an async generator."""
        yield value


EVERY_KIND = [
    ("static", ["static", 3]),
    ("class", ["House", 3]),
    ("cached", ["house", 3]),
    ("lru", ["house", 3]),
    ("partial", ["house", 5, 3]),
    ("single", ["house", "int", 3]),
    ("decorated", ["decorated", ["house", 3]]),
    ("greeting", "hello 3"),
    ("coroutine", ["house", 3]),
    ("generator", ["house", 3]),
]
POLICIES = [STRICT, STRICT.but(dialects=("pb",)), PUBLISHED]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "result"), EVERY_KIND)
def test_what_python_would_call_is_exposed(policy: Any, name: str, result: Any) -> None:
    """A method of any kind is called as Python would, under every policy, whatever its base has."""
    assert BrokerPair(House(), policy=policy).call(name, 3) == result


@pytest.mark.parametrize("policy", POLICIES)
def test_values_of_a_graph(policy: Any) -> None:
    """It is also where arguments take a jellier."""
    pair = BrokerPair(House(), policy=policy)
    assert pair.call("length", [Referenceable(), 1]) == 2


@pytest.mark.parametrize("name", ["none", "value", "nested", "absent"])
def test_what_is_no_method(name: str) -> None:
    """None, data and classes are not exposed, and hide a method of the base."""
    for policy in POLICIES:
        failure = BrokerPair(House(), policy=policy).call(name, 3)
        assert failure.check(NoSuchMethod)
        assert failure.getErrorMessage() == f"no remote method '{name}'"


@pytest.mark.parametrize("name", ["property", "lazy"])
def test_a_property_is_not_asked(name: str) -> None:
    """A property is no method: a peer's name does not run it."""
    assert BrokerPair(House(), policy=STRICT).call(name, 3).check(NoSuchMethod)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_async_generator(policy: Any) -> None:
    """An async generator is called as any method is: its caller gets a stream."""
    assert isinstance(stream_of(BrokerPair(House(), policy=policy).call("stream", 3)), RemoteStream)


@pytest.mark.parametrize("name", ["static", "class", "cached", "partial", "decorated"])
def test_wrong_arguments(name: str) -> None:
    """Arguments that do not fit are told as such, of a method of any kind."""
    for policy in (STRICT, PUBLISHED):
        pair = BrokerPair(House(), policy=policy)
        for args in ((), (1, 2, 3), ([Referenceable()], 2, 3)):
            failure: Failure = pair.call(name, *args)
            assert failure.check(WrongArguments) or name == "decorated", failure


def test_views() -> None:
    """What stands before the arguments of a peer stands there for every kind."""

    class Sign(Viewable):
        @staticmethod
        def view_static(perspective: Any, value: int) -> Any:
            return [perspective, value]

        @classmethod
        def view_class(cls, perspective: Any, value: int) -> Any:
            return [cls.__name__, perspective, value]

    class Street(Root):
        def remote_sign(self) -> Any:
            return Sign()

    pair = BrokerPair(Street())
    sign = pair.call("sign")
    assert pair.get(sign.callRemote("static", 3)) == [None, 3]
    assert pair.get(sign.callRemote("class", 3)) == ["Sign", None, 3]


def refuse(name: str) -> None:
    """Let nobody call."""
    raise PermissionError(name)


def also_refuse(name: str) -> None:
    """Let nobody call, too."""
    raise PermissionError(name)


def plain(self: Any) -> str:
    """Be a method."""
    return "called"


def without_dict(function: Any) -> Any:
    """Decorate, and copy nothing but where it is from."""

    def wrapper(*args: Any) -> Any:
        return function(*args)

    return functools.wraps(function, updated=())(wrapper)


DECORATORS: list[Callable[[Any], Any]] = [
    staticmethod,
    classmethod,
    functools.cache,
    functools.partialmethod,
    functools.singledispatchmethod,
    Decorator,
    wrapping,
    without_dict,
    lambda function: Decorator(staticmethod(function)),
    functools.partial,
]


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("is_outside", [False, True])
def test_conditions_are_found(decorate: Any, is_outside: bool) -> None:
    """A condition binds whether it stands above or below another decorator."""
    function = types.FunctionType(plain.__code__, {})
    if is_outside:
        method = condition(refuse)(decorate(function))
    else:
        method = decorate(condition(refuse)(function))
    row: Any = row_of(method, "remote_m")
    assert row.broker_conditions == (refuse,)
    pair = BrokerPair(type("Guarded", (Root,), {"remote_m": method})())
    assert pair.call("m").check("builtins.PermissionError", "twisted.spread.pb.RemoteError")


def test_conditions_of_several_layers() -> None:
    """Each condition is asked once, the innermost first."""
    function = types.FunctionType(plain.__code__, {})
    method = condition(also_refuse)(staticmethod(wrapping(condition(refuse)(function))))
    assert conditions_of(method) == (refuse, also_refuse)
    method = Decorator(method)
    method.again = method
    assert conditions_of(method) == (refuse, also_refuse)


def test_rows() -> None:
    """A plain function is its own row; data has none; what is not understood is refused."""
    assert row_of(plain, "remote_plain") is plain
    assert row_of(5, "remote_five") is None

    class Unknown:
        def __get__(self, instance: Any, owner: Any) -> Any:
            return None

    with pytest.raises(Refused):
        row_of(Unknown(), "remote_unknown")
