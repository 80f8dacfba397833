"""From a method name of the peer's to the method: a table by class, never an attribute."""

from __future__ import annotations

import gc
import weakref
from functools import partial
from typing import Any

import pytest

from broker.core.calls import dispatch
from broker.core.calls.dispatch import (
    Route,
    as_call_error,
    call_method,
    checked_arguments,
    condition,
    engine_hook,
    overrides_hook,
    quick_methods,
    resolve,
)
from broker.errors import NoSuchMethod, WrongArguments


class Base:
    """Exposes some methods."""

    remote_data = 5

    def remote_echo(self, value: Any, extra: Any = None) -> Any:
        """Return the arguments."""
        return value, extra

    def remote_gone(self) -> str:
        """Be hidden by the subclass."""
        return "here"

    def remote__private(self) -> str:
        """Start with an underscore, which is a name like any other."""
        return "private"

    def echo(self) -> str:
        """Have no prefix."""
        return "not exposed"

    @staticmethod
    def remote_static() -> str:
        """Take no instance."""
        return "static"

    @engine_hook
    def hook(self) -> None:
        """Be a default of the engine's."""


class Child(Base):
    """Adds and hides."""

    remote_gone = None  # type: ignore[assignment]

    def remote_more(self) -> str:
        """Be of the subclass only."""
        return "more"

    def hook(self) -> None:
        """Be the application's own."""


class Dynamic:
    """Makes up its methods."""

    def __init__(self) -> None:
        self.remote_instance = lambda: "of the instance"
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.append(name)
        return (lambda: name) if name.startswith("remote_known") else 5


def find(target: Any, name: str, dynamic: bool = False, prefix: str = "remote_") -> Any:
    """Find a method by a plain route, and bind it to the object."""
    return partial(resolve(Route(target, prefix), name, dynamic).function, target)


def conditions_of(target: Any, name: str) -> Any:
    """Return a function that runs the conditions of a method."""

    def check(called: str) -> None:
        for one in resolve(Route(target, "remote_"), name, False).conditions:
            one(called)

    return check


def call(name: str, args: tuple[Any, ...], kw: dict[str, Any], target: Any = None) -> Any:
    """Call a method of a Base, or of another object."""
    route = Route(Base() if target is None else target, "remote_")
    return call_method(route, resolve(route, name, False), name, args, kw)


@pytest.mark.parametrize("dynamic", [False, True])
def test_what_a_class_exposes(dynamic: bool) -> None:
    """The functions with the prefix, of the class and its bases, and nothing else."""
    assert find(Base(), "echo", dynamic)(1) == (1, None)
    assert find(Child(), "echo", dynamic)(1, extra=2) == (1, 2)
    assert find(Child(), "more", dynamic)() == "more"
    assert find(Base(), "_private", dynamic)() == "private"
    assert find(Base(), "gone", dynamic)() == "here"


ABSENT = ["nothing", "data", "more", "__class__", "hook", "", "remote_echo", "echo ", "ｅcho"]
ABSENT += ["echo.__func__", "x" * 128, "x" * 1000, "a\nb"]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ABSENT)
def test_absent_and_private_look_the_same(name: str, dynamic: bool) -> None:
    """Whatever is not exposed is told in the same words, cut and escaped."""
    with pytest.raises(NoSuchMethod, match=r"^no remote method '[ -~]{0,64}'($|: leave )"):
        find(Base(), name, dynamic)


@pytest.mark.parametrize(
    ("prefix", "name", "text"),
    [
        ("remote_", "remote_echo", "'remote_echo': leave the prefix 'remote_' out"),
        ("remote_", "remote_absent", "'remote_absent': leave the prefix 'remote_' out"),
        (
            "perspective_",
            "echo",
            "'echo': 'remote_echo' must be called 'perspective_echo' in this class",
        ),
        ("view_", "echo", "'echo': 'remote_echo' must be called 'view_echo' in this class"),
        ("perspective_", "absent", "'absent'"),
        ("perspective_", "data", "'data'"),
        (
            "perspective_",
            "perspective_echo",
            "'perspective_echo': leave the prefix 'perspective_' out",
        ),
    ],
)
def test_what_may_be_wrong_with_a_name(prefix: str, name: str, text: str) -> None:
    """The error of a name says what to write."""
    with pytest.raises(NoSuchMethod) as caught:
        find(Base(), name, prefix=prefix)
    assert str(caught.value) == f"no remote method {text}"


def test_hidden_by_a_subclass() -> None:
    """A subclass takes a method back by setting its name to something else."""
    with pytest.raises(NoSuchMethod):
        find(Child(), "gone")


class Unknown:
    """A descriptor of a kind of its own, which is not callable."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Give a function."""
        return lambda: "unknown"


def test_a_class_that_cannot_be_understood() -> None:
    """A descriptor of an unknown kind is refused by name, but for a policy that asks the object."""

    class Odd(Base):
        remote_odd = Unknown()

    for name in ("odd", "echo", "nothing"):
        with pytest.raises(TypeError, match=r"Odd\.remote_odd is a Unknown, .*without 'remote_'"):
            find(Odd(), name)
    assert find(Odd(), "odd", dynamic=True)() == "unknown"
    assert find(Odd(), "echo", dynamic=True)(1) == (1, None)
    assert dict(quick_methods(Guarded())[1]).keys() == {"free"}

    class Even(Odd):
        def remote_odd(self) -> str:
            return "even"

    assert find(Even(), "odd")() == "even"


def test_a_class_is_no_method() -> None:
    """A class that is an attribute is never called, whatever the policy."""

    class House(Base):
        class remote_echo:
            """A class."""

    for dynamic in (False, True):
        with pytest.raises(NoSuchMethod):
            find(House(), "echo", dynamic)


def test_dynamic_methods() -> None:
    """A dynamic policy asks the object once, by prefix and name, and takes callables only."""
    target = Dynamic()
    with pytest.raises(NoSuchMethod):
        find(target, "instance")
    with pytest.raises(NoSuchMethod):
        find(target, "known")
    assert target.asked == []
    assert find(target, "instance", dynamic=True)() == "of the instance"
    assert find(target, "known_one", dynamic=True)() == "remote_known_one"
    with pytest.raises(NoSuchMethod):
        find(target, "other", dynamic=True)
    assert target.asked == ["remote_known_one", "remote_other"]
    for name in ("a.b", "a b", "ä", "1a", "x" * 129, ""):
        with pytest.raises(NoSuchMethod):
            find(target, name, dynamic=True)
    assert len(target.asked) == 2


def test_prefixes_are_apart() -> None:
    """A method is exposed under its own prefix only."""
    with pytest.raises(NoSuchMethod):
        find(Base(), "echo", dynamic=True, prefix="view_")


def test_the_error_of_a_route() -> None:
    """A route may say what is wrong in its own way."""
    route = Route(Base(), "remote_", missing=PermissionError)
    with pytest.raises(PermissionError, match="no remote method 'nothing'"):
        resolve(route, "nothing", False)


def test_the_table_is_made_once_and_goes_with_the_class() -> None:
    """The cache keeps no class alive."""
    made = type("Passing", (Base,), {})
    assert find(made(), "echo")(1) == (1, None)
    assert find(made(), "echo").func is Base.remote_echo
    watch = weakref.ref(made)
    assert made in dispatch._TABLES
    del made
    gc.collect()
    assert watch() is None


def test_hooks() -> None:
    """A default of the engine's is no hook of the application's; an override is."""
    assert not overrides_hook(Base(), "hook")
    assert overrides_hook(Child(), "hook")
    assert not overrides_hook(Base(), "absent")


def test_calling() -> None:
    """Arguments and keywords reach the method."""
    assert call("echo", (1,), {"extra": 2}) == (1, 2)


@pytest.mark.parametrize(
    ("args", "kw", "text"),
    [
        ((), {}, "echo: missing 1 required positional argument: 'value'"),
        ((1, 2, 3), {}, "echo: takes from 2 to 3 positional arguments but 4 were given"),
        ((1,), {"x": 1}, "echo: got an unexpected keyword argument 'x'"),
        ((1,), {"value": 1}, "echo: got multiple values for argument 'value'"),
        ((1,), {"a\nb\x1b": 1}, "echo: got an unexpected keyword argument 'a\\nb\\x1b'"),
    ],
)
def test_wrong_arguments(args: tuple[Any, ...], kw: dict[str, Any], text: str) -> None:
    """Arguments that do not fit are told without the function's own name, on one line."""
    with pytest.raises(WrongArguments) as caught:
        call("echo", args, kw)
    assert str(caught.value) == text


def test_long_keywords_are_cut() -> None:
    """A keyword of the peer's is not repeated at any length."""
    with pytest.raises(WrongArguments) as caught:
        call("echo", (1,), {"x" * 100_000: 1})
    assert len(str(caught.value)) < 200


def test_a_type_error_inside_the_method() -> None:
    """A TypeError that the method itself runs into is its own, and not about arguments."""

    def broken() -> None:
        len(5)  # type: ignore[arg-type]

    class Breaking:
        def remote_breaks(self) -> None:
            broken()

        def remote_calls_wrongly(self) -> None:
            broken(1)  # type: ignore[call-arg]

    for name in ("breaks", "calls_wrongly"):
        with pytest.raises(TypeError) as caught:
            call(name, (), {}, Breaking())
        assert not isinstance(caught.value, WrongArguments)


def test_checked_arguments() -> None:
    """Arguments are a tuple, keywords a dict of str; bytes of old peers become str."""
    assert checked_arguments((1,), {"a": 1}) == ((1,), {"a": 1})
    assert checked_arguments((), {b"a": 1, "b": 2}) == ((), {"a": 1, "b": 2})
    wrong: list[tuple[Any, Any]] = [([1], {}), (b"a", {}), (None, {}), ((), []), ((), {1: 2})]
    for args, kw in wrong:
        with pytest.raises(
            WrongArguments, match="arguments are a tuple, and keywords a dict of str"
        ):
            checked_arguments(args, kw)


def caught(call: Any) -> TypeError:
    """The TypeError of a call that is made here."""
    try:
        call()
    except TypeError as error:
        return error
    raise AssertionError("no TypeError")


def test_what_a_type_error_is() -> None:
    """One of the call itself is WrongArguments; one from inside the method is left as it is."""

    def needs(value: Any) -> Any:
        return len(value)

    try:
        needs()  # type: ignore[call-arg]
    except TypeError as error:
        fault = as_call_error(error, "m")
        assert type(fault) is WrongArguments
        assert str(fault) == "m: missing 1 required positional argument: 'value'"
    inside = caught(lambda: needs(5))
    assert as_call_error(inside, "m") is inside
    never_raised = TypeError("text")
    assert as_call_error(never_raised, "m") is never_raised


def test_a_type_error_without_the_usual_text() -> None:
    """What does not begin with a function's name is not repeated: it may hold anything."""
    try:
        raise TypeError("secret")
    except TypeError as error:
        assert str(as_call_error(error, "m")) == "m: wrong arguments"


class Refused(Exception):
    """What a condition raises."""


def only_even(name: str) -> None:
    """Refuse names of odd length."""
    if len(name) % 2:
        raise Refused(name)


def not_four(name: str) -> None:
    """Refuse names of four letters."""
    if len(name) == 4:
        raise Refused("four")


class Guarded:
    """Some of its methods have conditions."""

    def remote_free(self) -> str:
        """Have none."""
        return "free"

    @condition(only_even)
    def remote_even(self) -> str:
        """Have one."""
        return "even"

    @condition(not_four)
    @condition(only_even)
    def remote_both(self) -> str:
        """Have two."""
        return "both"

    def route(self) -> Any:
        """Lead here."""
        return Route(self, "remote_", ("first",))


def test_conditions() -> None:
    """Each is asked with the name by which the peer calls, the innermost first."""
    even = conditions_of(Guarded(), "even")
    even("even")
    conditions_of(Guarded(), "free")("odd")
    with pytest.raises(Refused, match="odd"):
        even("odd")
    both = conditions_of(Guarded(), "both")
    both("evenly")
    with pytest.raises(Refused, match="four"):
        both("both")
    with pytest.raises(Refused, match="odd"):
        both("odd")


def test_a_condition_leaves_the_method_as_it_is() -> None:
    """The decorator adds a condition and no more."""

    def method() -> str:
        return "result"

    assert condition(only_even)(method) is method
    assert method() == "result"


def test_quick_methods() -> None:
    """The methods without a check, and what stands before the peer's arguments."""
    target = Guarded()
    leading, methods = quick_methods(target)
    assert leading == (target, "first")
    assert {name: method.function for name, method in methods.items()} == {
        "free": Guarded.remote_free
    }


def test_free_methods_of_another_target() -> None:
    """A route to another object gives that object's, of the route's prefix."""

    class Leading:
        def route(self) -> Any:
            return Route(child, "remote_")

    child = Child()
    leading, methods = quick_methods(Leading())
    assert leading == (child,)
    assert set(methods) == {"echo", "more", "static", "_private"}
    assert methods["echo"].function is Base.remote_echo


def test_a_guarded_override_is_not_free() -> None:
    """What a subclass guards is not found in its base."""

    class Stricter(Guarded):
        @condition(only_even)
        def remote_free(self) -> str:
            return "guarded"

    class Laxer(Guarded):
        def remote_even(self) -> str:
            return "free"

    assert dict(quick_methods(Stricter())[1]) == {}
    assert set(quick_methods(Laxer())[1]) == {"free", "even"}


class Hooked(Guarded):
    """Takes its calls itself."""

    def remoteMessageReceived(self, *message: Any) -> Any:
        """Take one."""


class Functional(Guarded):
    """Its route is a function."""

    def route(self) -> Any:
        """Lead to a function."""
        return lambda *message: None


class Answering(Guarded):
    """Wants to answer each call."""

    def route(self) -> Any:
        """Refuse calls that want no answer."""
        return Route(self, "remote_", unanswered=Refused)


class Broken(Guarded):
    """Has no route."""

    def route(self) -> Any:
        """Raise."""
        raise Refused("no route")


@pytest.mark.parametrize("target", [Hooked(), Functional(), Answering(), Broken(), object()])
def test_targets_without_quick_methods(target: Any) -> None:
    """Where a call takes more than a function, there are none."""
    assert quick_methods(target) == ((), {})
