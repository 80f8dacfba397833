"""Finds the method of an object that a peer calls: the only place that looks up a peer's name.

The methods that a prefix exposes are collected once per class, from the class and its bases; see
`core.calls.exposed_methods`. A peer's name selects one Method of that table. A name without one
reaches the object itself only under a policy with ``dynamic_methods``, by one ``getattr`` of prefix
and name.
"""

from __future__ import annotations

import inspect
import re
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from msgspec import Struct

from broker.core.calls.exposed_methods import ROW_CODES, Refused, row_of, unbound
from broker.core.principal import Principal
from broker.core.tracer import Times
from broker.errors import CONDITIONS, NoSuchMethod, WrongArguments
from broker.failure import Failure
from broker.printable import text_of_error
from jelly.atoms import text_of
from jelly.printable import printable

__all__ = [
    "NO_METHODS",
    "Method",
    "Refusal",
    "Route",
    "as_call_error",
    "call_method",
    "check_hooked",
    "checked_arguments",
    "class_of",
    "condition",
    "engine_hook",
    "is_of_login",
    "note_raised",
    "of_login",
    "overrides_hook",
    "quick_methods",
    "replace_methods",
    "resolve",
    "routes_each_call",
    "stands_for_object",
    "was_raised",
]

Hook = TypeVar("Hook", bound=Callable[..., Any])
Routed = TypeVar("Routed", bound=type)

Validator: TypeAlias = Callable[
    [tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]
]
"""Takes the arguments and keywords of a call and returns those to use; raises to refuse it."""

# An attribute that marks an exception as raised by a method.
_RAISED = "_was_raised_by_a_method"

_PREFIXES = ("remote_", "perspective_", "view_", "observe_")
# Most characters of Python's own text about a call.
_MOST_TOLD = 400
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


class Method(Struct, frozen=True):
    """One method of a class that peers can call.

    Attributes:
        function: it takes the object, the arguments of its Route, and those of the peer.
        conditions: functions that raise if the method may not be called; each gets the peer's name
            of the method.
        is_async: whether it is a coroutine function, so that a call only starts it.
        validator: returns the arguments and keywords to call the method with, or raises; None for
            those of the peer.
        times: counts its calls on the quick path; None if no `Timer` does.
    """

    function: Callable[..., object]
    conditions: tuple[Callable[[str], object], ...] = ()
    is_async: bool = False
    validator: Validator | None = None
    times: Times | None = None


class Refusal(TypeError):
    """The arguments do not have the types of a method, which has not run; the text says why.

    The function of a Method raises it; the peer gets WrongArguments.
    """


Replacement: TypeAlias = Callable[[type, str, Mapping[str, Method]], Mapping[str, Method]]
"""Takes a class, a prefix and the methods that it exposes; returns those to call."""


class _Table(NamedTuple):
    """The methods of a class that one prefix exposes, by their names without the prefix.

    Attributes:
        methods: all of them.
        quick: those with neither a condition nor a validator.
        refused: the fault of the class, or None.
        is_whole: whether the policy's ``dynamic_methods`` has no effect.
    """

    methods: Mapping[str, Method]
    quick: Mapping[str, Method]
    refused: str | None
    is_whole: bool = False


# A cache: its entries are made from the classes, and are collected with them.
_TABLES: weakref.WeakKeyDictionary[type, dict[str, _Table]] = weakref.WeakKeyDictionary()
# See `routes_each_call`.
_ROUTED: set[type] = set()
# How the methods of a class are replaced, see `replace_methods`.
_REPLACED: weakref.WeakKeyDictionary[type, Replacement] = weakref.WeakKeyDictionary()
# The classes that `of_login` and `stands_for_object` have marked.
_OF_LOGIN: set[type] = set()
_STANDING: set[type] = set()
NO_METHODS: Mapping[str, Method] = types.MappingProxyType({})


class Route(NamedTuple):
    """How the calls to one exported object are made.

    Attributes:
        target: the object whose methods are called.
        prefix: of the exposed methods, such as ``"remote_"``.
        leading: arguments that are passed before those of the peer.
        perspective: PB's perspective for the arguments and results.
        missing: makes the error for a name that is not exposed. Default: NoSuchMethod.
        unanswered: makes the error for a one-way call; None if one-way calls are accepted.
        principal: the user on whose behalf this call is made; None for the owner of the object.
        is_ours: whether the methods belong to this library. Their errors then are about this call
            itself.
        method_for: returns the Method of a name, for an object whose methods are not those of its
            class; raises NoSuchMethod for another name.
    """

    target: Any
    prefix: str
    leading: tuple[Any, ...] = ()
    perspective: Any = None
    missing: Callable[[str], Exception] = NoSuchMethod
    unanswered: Callable[[], Exception] | None = None
    principal: Principal | None = None
    is_ours: bool = False
    method_for: Callable[[str], Method] | None = None


def engine_hook(hook: Hook) -> Hook:
    """Mark the default of one of Twisted's hooks: the session does its work itself."""
    hook.is_engine_hook = True  # type: ignore[attr-defined]
    return hook


def overrides_hook(value: Any, name: str) -> bool:
    """Return whether the class of ``value`` overrides the hook ``name``."""
    hook = getattr(type(value), name, None)
    return hook is not None and not getattr(hook, "is_engine_hook", False)


def condition(check: Callable[[str], object]) -> Callable[[Hook], Hook]:
    """Return a decorator for methods that may be called only if ``check(name)`` does not raise.

    ``check`` gets the name that the peer calls, and runs in the context of the method.
    """

    def decorate(function: Hook) -> Hook:
        earlier = getattr(function, "broker_conditions", ())
        function.broker_conditions = (*earlier, check)  # type: ignore[attr-defined]
        return function

    return decorate


def check_hooked(hook: Any, name: str) -> None:
    """Run the conditions of the methods that an overridden hook may call; pass on their errors.

    Such a hook, for example in a flavor of Twisted, looks up the method itself and does not know
    conditions.

    Args:
        hook: a method of the called object, or of a view of it.
        name: the method name that the peer calls.
    """
    owner = getattr(hook, "__self__", None)
    for cls in {type(owner), type(getattr(owner, "object", None))}:
        for prefix in _PREFIXES:
            method = _table(cls, prefix).methods.get(name)
            for check in () if method is None else method.conditions:
                check(name)


def replace_methods(cls: type, replacement: Replacement) -> None:
    """Let a function replace the methods of a class and its subclasses, once a class and prefix.

    These classes have no other methods: the policy's ``dynamic_methods`` has no effect on them.
    """
    _REPLACED[cls] = replacement


def of_login(cls: Routed) -> Routed:
    """Mark a class whose methods log in: a decorator.

    Neither observers nor interceptors see the calls of its methods, which hold secrets.
    """
    _OF_LOGIN.add(cls)
    return cls


def is_of_login(cls: type | None) -> bool:
    """Return whether `of_login` has marked a class."""
    return cls is not None and not _OF_LOGIN.isdisjoint(cls.__mro__)


def stands_for_object(cls: Routed) -> Routed:
    """Mark a class whose objects pass their calls to their attribute ``object``: a decorator.

    The class of that object is told to observers and interceptors, and logged.
    """
    _STANDING.add(cls)
    return cls


def class_of(target: object) -> type:
    """Return the class of the object whose methods are called when ``target`` is called."""
    cls = type(target)
    if _STANDING.isdisjoint(cls.__mro__):
        return cls
    return type(cast("Any", target).object)


def routes_each_call(cls: Routed) -> Routed:
    """Have each call to an object of this class, or a subclass, ask for its route: a decorator."""
    _ROUTED.add(cls)
    return cls


def quick_methods(target: Any) -> tuple[tuple[Any, ...], Mapping[str, Method]]:
    """Return the leading arguments and the methods for the quick path of calls to an object.

    The mapping is empty if calls to the object need more than that.
    """
    if not _ROUTED.isdisjoint(type(target).__mro__):
        return (), NO_METHODS
    if overrides_hook(target, "remoteMessageReceived"):
        return (), NO_METHODS
    try:
        route = target.route()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - raised again, and answered, where the call itself is made
        return (), NO_METHODS
    if not isinstance(route, Route) or route.unanswered or route.principal or route.method_for:
        return (), NO_METHODS
    table = _table(type(route.target), route.prefix)
    if table.refused is not None:
        return (), NO_METHODS
    return (route.target, *route.leading), table.quick


def resolve(route: Route, name: str, dynamic: bool) -> Method:
    """Return the method of ``route`` that a peer calls ``name``.

    Raises:
        NoSuchMethod: no method of that name is exposed. The text is the same for absent and private
            methods.
        TypeError: the class has an attribute that may be a method or not, depending on the
            instance, and the policy has no ``dynamic_methods``.
    """
    if route.method_for is not None:
        return route.method_for(name)
    target, prefix = route.target, route.prefix
    table = _table(type(target), prefix)
    dynamic = dynamic and not table.is_whole
    if table.refused is not None and not dynamic:
        raise TypeError(table.refused)
    method = table.methods.get(name)
    if method is not None:
        return method
    told = f"'{type(target).__name__}' object has no attribute '{prefix}{text_of(name)}'"
    if dynamic and _NAME.match(name):
        try:
            value = getattr(target, prefix + name)
        except AttributeError as error:
            # A ``__getattr__`` may raise its own text.
            value, told = None, _told(error)
        if callable(value) and not isinstance(value, type):
            return _method_of(unbound(value), value)
    raise _missing(route, name, told)


def _told(error: Exception) -> str:
    """Return the text of an error that Python or a hook of the class has raised."""
    return printable(text_of_error(error, _MOST_TOLD + 1), _MOST_TOLD, is_ascii=False)


def _missing(route: Route, name: str, told: str) -> Exception:
    """Return the error for a name that is not exposed, with the type and text that Twisted sends.

    Args:
        route, name: see `find_method`.
        told: Python's text of the error.
    """
    cls, prefix = type(route.target), route.prefix
    error = route.missing(f"no remote method '{text_of(name)}'{_hint(cls, prefix, name)}")
    if isinstance(error, NoSuchMethod):
        if prefix == "remote_":
            error.twisted_text = f"No such method: remote_{text_of(name)}"
        else:
            # In Twisted, only a Referenceable has its own error for that.
            error.twisted_type, error.twisted_text = "builtins.AttributeError", told
    return error


def _hint(cls: type, prefix: str, name: str) -> str:
    """Return a hint to append to the error for a name that is not exposed, or an empty str."""
    if name.startswith(_PREFIXES):
        return f": leave the prefix '{name.partition('_')[0]}_' out"
    if prefix != "remote_" and name in _table(cls, "remote_").methods:
        # For example in an Avatar. The hint names only methods that were meant to be called.
        return f": 'remote_{name}' must be called '{prefix}{name}' in this class"
    return ""


def checked_arguments(args: Any, kw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Check a peer's arguments and keywords, and return them.

    Keywords may be bytes: a peer written for Python 2 sends them so.

    Raises:
        WrongArguments: they are not a tuple and a dict with str keys.
    """
    if type(kw) is dict and bytes in map(type, kw):
        kw = {text_of(key) if type(key) is bytes else key: value for key, value in kw.items()}
    if type(args) is not tuple or type(kw) is not dict or not {str}.issuperset(map(type, kw)):
        raise WrongArguments("arguments are a tuple, and keywords a dict of str")
    return args, kw


def call_method(
    route: Route, method: Method, name: str, args: tuple[Any, ...], kw: dict[str, Any]
) -> Any:
    """Call a method with a peer's arguments.

    Args:
        route, method: the object and its method.
        name: the peer's name for the method.
        args, kw: the arguments.

    Raises:
        WrongArguments: the arguments do not fit the signature. Errors of the method are passed on.
    """
    try:
        return method.function(route.target, *route.leading, *args, **kw)
    except BaseException as error:  # noqa: BLE001 - raised again
        fault = as_call_error(error, name) if isinstance(error, TypeError) else error
        try:
            if fault is not error:
                raise fault from None
            if not route.is_ours:
                note_raised(error)
            raise
        finally:
            del fault  # a reference cycle: this frame is in its traceback


def note_raised(error: Any) -> None:
    """Mark an exception as raised by a method, or as the failure of a Deferred that it returned.

    Errors such as ServerBusy tell the peer about its call. With the mark, the peer learns that the
    method raised the error, for example from a call of its own. Other exceptions are not marked.

    Args:
        error: an exception, a Failure, or a Failure of Twisted.
    """
    value = getattr(error, "value", None)
    noted = value if isinstance(value, BaseException) else error
    # An error from another peer has its own class; see ``flavors.received``.
    if noted.__class__ in CONDITIONS or isinstance(noted, Failure):
        setattr(noted, _RAISED, True)


def was_raised(failure: Any) -> bool:
    """Return whether :func:`note_raised` has marked an exception, or the exception of a Failure."""
    value = getattr(failure, "value", None)
    noted = value if isinstance(value, BaseException) else failure
    return getattr(noted, "__dict__", {}).get(_RAISED) is True


def as_call_error(error: TypeError, name: str) -> Exception:
    """Return WrongArguments if a TypeError is due to the arguments of a call; else the error."""
    if type(error) is Refusal:
        return WrongArguments(str(error))
    if type(error) is not TypeError:
        return error
    # One level of traceback, apart from the frame of a row: no code of the method has run.
    traceback = error.__traceback__
    inner = None if traceback is None else traceback.tb_next
    if inner is not None and inner.tb_frame.f_code in ROW_CODES:
        inner = inner.tb_next
    if traceback is not None and inner is None:
        fault = WrongArguments(f"{name}: {_signature_fault(error)}")
        fault.twisted_text = _told(error)
        return fault
    return error


def _signature_fault(error: TypeError) -> str:
    # CPython's text starts with the qualified name of the function, which the peer must not see.
    # It may end with a keyword that the peer sent.
    text = str(error).partition("() ")[2] or "wrong arguments"
    return printable(text, 120, is_ascii=False)


def _table(cls: type, prefix: str) -> _Table:
    try:
        return _TABLES[cls][prefix]
    except KeyError:
        return _make_table(cls, prefix)


def _make_table(cls: type, prefix: str) -> _Table:
    methods: Mapping[str, Method]
    methods, refused = _found_methods(cls, prefix)
    replace = next((_REPLACED[base] for base in cls.__mro__ if base in _REPLACED), None)
    if replace is not None:
        methods = replace(cls, prefix, methods)
    quick = {
        name: method
        for name, method in methods.items()
        if not method.conditions and method.validator is None
    }
    refusal = next(iter(refused.values()), None)
    is_whole = replace is not None
    table = _TABLES.setdefault(cls, {})[prefix] = _Table(methods, quick, refusal, is_whole)
    return table


def _found_methods(cls: type, prefix: str) -> tuple[dict[str, Method], dict[str, str]]:
    """Return the methods of a class and its bases, and the faults of what may not be a method."""
    methods: dict[str, Method] = {}
    refused: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            name = attribute.removeprefix(prefix)
            if name == attribute:
                continue
            methods.pop(name, None)
            refused.pop(name, None)
            if not _NAME.match(name):
                continue
            try:
                row = row_of(value, attribute)
            except Refused:
                refused[name] = (
                    f"{cls.__module__}.{cls.__qualname__}.{attribute} is a"
                    f" {type(value).__qualname__}, of which only an instance can tell whether it is"
                    f" a method: make it a method, or name it without '{prefix}'"
                )
                continue
            if row is not None:
                methods[name] = _method_of(row, row)
    return methods, refused


def _method_of(function: Callable[..., object], marked: object) -> Method:
    """Return the Method of a function; ``marked`` is what the application has written."""
    conditions = getattr(marked, "broker_conditions", ())
    return Method(function, conditions, inspect.iscoroutinefunction(marked))
