"""From an object and a peer's method name to the method: the one place where a name is looked up.

A class's methods that a prefix exposes are found once, from what it and its bases define; see
`core.calls.rows`. A peer's name selects a row of that table. Only a policy with ``dynamic_methods``
lets a name that is in no row reach the object itself, by one ``getattr`` of prefix and name.
"""

from __future__ import annotations

import re
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from broker.core.calls.rows import ROW_CODES, Refused, row_of
from broker.core.principal import Principal
from broker.errors import CONDITIONS, NoSuchMethod, WrongArguments
from broker.failure import Failure
from broker.printable import text_of_error
from jelly.atoms import text_of
from jelly.printable import printable

__all__ = [
    "Route",
    "as_call_error",
    "call_method",
    "check_condition",
    "check_hooked",
    "checked_arguments",
    "condition",
    "engine_hook",
    "find_method",
    "free_methods",
    "note_raised",
    "overrides_hook",
    "was_raised",
]

Hook = TypeVar("Hook", bound=Callable[..., Any])

# An attribute of an exception that a method has raised.
_RAISED = "_was_raised_by_a_method"

_PREFIXES = ("remote_", "perspective_", "view_", "observe_")
# Characters of what Python says of a call.
_MOST_TOLD = 400
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


class _Table(NamedTuple):
    """The methods of a class that one prefix exposes, by the rest of their names.

    Attributes:
        functions: all of them.
        free: those that every peer may call.
        refused: what is wrong with the class, or None.
    """

    functions: Mapping[str, types.FunctionType]
    free: Mapping[str, types.FunctionType]
    refused: str | None


# A cache, not state: what it holds follows from the classes, and goes with them.
_TABLES: weakref.WeakKeyDictionary[type, dict[str, _Table]] = weakref.WeakKeyDictionary()
_NONE: Mapping[str, types.FunctionType] = types.MappingProxyType({})


class Route(NamedTuple):
    """How the calls to one exported object are made.

    Attributes:
        target: the object whose methods are called.
        prefix: what exposes them, such as ``"remote_"``.
        leading: arguments before those of the peer.
        perspective: through whose eyes arguments and results are seen.
        missing: makes the error for a name that is not exposed; NoSuchMethod unless given.
        unanswered: makes the error for a call that wants no answer; None where such are taken.
        principal: on whose behalf this one call is made; None for the owner of the object.
        is_ours: whether the methods are this library's own, so that what they raise is said of
            this call.
    """

    target: Any
    prefix: str
    leading: tuple[Any, ...] = ()
    perspective: Any = None
    missing: Callable[[str], Exception] = NoSuchMethod
    unanswered: Callable[[], Exception] | None = None
    principal: Principal | None = None
    is_ours: bool = False


def engine_hook(hook: Hook) -> Hook:
    """Mark a published hook's default, whose work the session does itself."""
    hook.is_engine_hook = True  # type: ignore[attr-defined]
    return hook


def overrides_hook(value: Any, name: str) -> bool:
    """Whether the class of ``value`` has a hook of that name which is not our default."""
    hook = getattr(type(value), name, None)
    return hook is not None and not getattr(hook, "is_engine_hook", False)


def condition(check: Callable[[str], object]) -> Callable[[Hook], Hook]:
    """Return a decorator that lets a method be called only where ``check(name)`` raises nothing.

    It is called with the name by which the peer calls, in the context in which the method runs.
    """

    def decorate(function: Hook) -> Hook:
        earlier = getattr(function, "broker_conditions", ())
        function.broker_conditions = (*earlier, check)  # type: ignore[attr-defined]
        return function

    return decorate


def check_condition(method: Any, name: str) -> None:
    """Raise what the conditions of a method raise, if it has any."""
    for check in getattr(method, "broker_conditions", ()):
        check(name)


def check_hooked(hook: Any, name: str) -> None:
    """Raise what the conditions raise of the methods that a hook of a class's own may call.

    Such a hook looks for them itself, as one of Twisted's flavors does, which knows no conditions.

    Args:
        hook: a method of the object that is called, or of a view of it.
        name: what the peer calls.
    """
    owner = getattr(hook, "__self__", None)
    for cls in {type(owner), type(getattr(owner, "object", None))}:
        for prefix in _PREFIXES:
            check_condition(getattr(cls, f"{prefix}{name}", None), name)


def free_methods(target: Any) -> tuple[tuple[Any, ...], Mapping[str, types.FunctionType]]:
    """Return what plain calls to an exported object need: the leading arguments, and the methods.

    The methods are functions by their names, without those that have a condition. Where calls to
    the object take more than that, there are none.
    """
    if overrides_hook(target, "remoteMessageReceived"):
        return (), _NONE
    try:
        route = target.route()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - raised again, and answered, where the call itself is made
        return (), _NONE
    if not isinstance(route, Route) or route.unanswered or route.principal:
        return (), _NONE
    table = _table(type(route.target), route.prefix)
    if table.refused is not None:
        return (), _NONE
    return (route.target, *route.leading), table.free


def find_method(route: Route, name: str, dynamic: bool) -> Callable[..., Any]:
    """Return the method of ``route`` that a peer calls ``name``.

    Raises:
        NoSuchMethod: none of that name is exposed; the text is the same for absent and private
            ones.
        TypeError: the class has an attribute of which only the instance could tell whether it is a
            method, and the policy does not ask it.
    """
    target, prefix = route.target, route.prefix
    table = _table(type(target), prefix)
    if table.refused is not None and not dynamic:
        raise TypeError(table.refused)
    function = table.functions.get(name)
    if function is not None:
        return types.MethodType(function, target)
    told = f"'{type(target).__name__}' object has no attribute '{prefix}{text_of(name)}'"
    if dynamic and _NAME.match(name):
        try:
            method = getattr(target, prefix + name)
        except AttributeError as error:
            # A ``__getattr__`` may have a text of its own.
            method, told = None, _told(error)
        if callable(method) and not isinstance(method, type):
            return method  # type: ignore[no-any-return]
    raise _missing(route, name, told)


def _told(error: Exception) -> str:
    """Return what Python, or a hook of the class, says of a call."""
    return printable(text_of_error(error, _MOST_TOLD + 1), _MOST_TOLD, is_ascii=False)


def _missing(route: Route, name: str, told: str) -> Exception:
    """Return the error for a name that is not exposed, with what Twisted sends of it.

    Args:
        route, name: as of `find_method`.
        told: what Python says of it.
    """
    cls, prefix = type(route.target), route.prefix
    error = route.missing(f"no remote method '{text_of(name)}'{_hint(cls, prefix, name)}")
    if isinstance(error, NoSuchMethod):
        if prefix == "remote_":
            error.twisted_text = f"No such method: remote_{text_of(name)}"
        else:
            # Only a Referenceable has an error for that, there.
            error.twisted_type, error.twisted_text = "builtins.AttributeError", told
    return error


def _hint(cls: type, prefix: str, name: str) -> str:
    """Return what seems to be wrong with a name that is not exposed, to put behind the error."""
    if name.startswith(_PREFIXES):
        return f": leave the prefix '{name.partition('_')[0]}_' out"
    if prefix != "remote_" and name in _table(cls, "remote_").functions:
        # Such as an Avatar's. It is said only of what was meant to be called.
        return f": 'remote_{name}' must be called '{prefix}{name}' in this class"
    return ""


def checked_arguments(args: Any, kw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a peer's arguments and keywords, once it is sure that they are such.

    Keywords may be bytes, which is what a peer sends that was written before str was text.

    Raises:
        WrongArguments: they are no tuple and no dict of names.
    """
    if type(kw) is dict and any(type(key) is bytes for key in kw):
        kw = {text_of(key) if type(key) is bytes else key: value for key, value in kw.items()}
    if type(args) is not tuple or type(kw) is not dict or any(type(key) is not str for key in kw):
        raise WrongArguments("arguments are a tuple, and keywords a dict of str")
    return args, kw


def call_method(
    method: Callable[..., Any], name: str, args: Any, kw: dict[str, Any], is_ours: bool = False
) -> Any:
    """Call a method with a peer's arguments.

    Args:
        method, name: what is called, and what the peer calls it.
        args, kw: the arguments.
        is_ours: whether what it raises is said of this call.

    Raises:
        WrongArguments: they do not fit its signature; whatever else the method raises passes
            through.
    """
    try:
        return method(*args, **kw)
    except BaseException as error:  # noqa: BLE001 - raised again
        fault = as_call_error(error, name) if type(error) is TypeError else error
        try:
            if fault is not error:
                raise fault from None
            if not is_ours:
                note_raised(error)
            raise
        finally:
            del fault  # this frame is in its traceback: together they are a cycle


def note_raised(error: Any) -> None:
    """Note that a method has raised an exception, or returned a Deferred that fails with it.

    What the two ends say of a call, such as ServerBusy, is not said of this one then. Nothing is
    noted of other exceptions.

    Args:
        error: an exception, or a Failure of ours or of Twisted's.
    """
    value = getattr(error, "value", None)
    noted = value if isinstance(value, BaseException) else error
    # One that came from another peer is of a class of its own; see ``flavors.received``.
    if noted.__class__ in CONDITIONS or isinstance(noted, Failure):
        setattr(noted, _RAISED, True)


def was_raised(failure: Any) -> bool:
    """Return whether :func:`note_raised` has noted an exception, or that of a Failure."""
    value = getattr(failure, "value", None)
    noted = value if isinstance(value, BaseException) else failure
    return getattr(noted, "__dict__", {}).get(_RAISED) is True


def as_call_error(error: TypeError, name: str) -> Exception:
    """Return what a TypeError of a call is: WrongArguments, where the call itself failed."""
    # One level of traceback, beside that of a row: nothing inside the method has run.
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
    # CPython starts with the qualified name of the function, which is ours to keep, and may end
    # with a keyword of the peer's.
    text = str(error).partition("() ")[2] or "wrong arguments"
    return printable(text, 120, is_ascii=False)


def _table(cls: type, prefix: str) -> _Table:
    try:
        return _TABLES[cls][prefix]
    except KeyError:
        return _make_table(cls, prefix)


def _make_table(cls: type, prefix: str) -> _Table:
    functions: dict[str, types.FunctionType] = {}
    refused: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            name = attribute.removeprefix(prefix)
            if name == attribute:
                continue
            functions.pop(name, None)
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
                functions[name] = row
    free = {
        name: function
        for name, function in functions.items()
        if not hasattr(function, "broker_conditions")
    }
    refusal = next(iter(refused.values()), None)
    table = _TABLES.setdefault(cls, {})[prefix] = _Table(functions, free, refusal)
    return table
