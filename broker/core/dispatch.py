"""From an object and a peer's method name to the method: the one place where a name is looked up.

A class's methods that a prefix exposes are found once, from the functions that it and its bases
define. A peer's name selects a row of that table. Only a policy with ``dynamic_methods`` lets a
name that is in no row reach the object itself, by one ``getattr`` of prefix and name.
"""

from __future__ import annotations

import re
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from broker.errors import NoSuchMethod, WrongArguments
from jelly.atoms import text_of

__all__ = [
    "Route",
    "call_method",
    "checked_arguments",
    "engine_hook",
    "find_method",
    "overrides_hook",
]

Hook = TypeVar("Hook", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")

# A cache, not state: what it holds follows from the classes, and goes with them.
_TABLES: weakref.WeakKeyDictionary[type, dict[str, Mapping[str, types.FunctionType]]]
_TABLES = weakref.WeakKeyDictionary()


class Route(NamedTuple):
    """How the calls to one exported object are made.

    Attributes:
        target: the object whose methods are called.
        prefix: what exposes them, such as ``"remote_"``.
        leading: arguments before those of the peer.
        perspective: through whose eyes arguments and results are seen.
        missing: makes the error for a name that is not exposed; NoSuchMethod unless given.
        unanswered: makes the error for a call that wants no answer; None where such are taken.
    """

    target: Any
    prefix: str
    leading: tuple[Any, ...] = ()
    perspective: Any = None
    missing: Callable[[str], Exception] = NoSuchMethod
    unanswered: Callable[[], Exception] | None = None


def engine_hook(hook: Hook) -> Hook:
    """Mark a published hook's default, whose work the session does itself."""
    hook.is_engine_hook = True  # type: ignore[attr-defined]
    return hook


def overrides_hook(value: Any, name: str) -> bool:
    """Whether the class of ``value`` has a hook of that name which is not our default."""
    hook = getattr(type(value), name, None)
    return hook is not None and not getattr(hook, "is_engine_hook", False)


def find_method(route: Route, name: str, dynamic: bool) -> Callable[..., Any]:
    """Return the method of ``route`` that a peer calls ``name``.

    Raises:
        NoSuchMethod: none of that name is exposed; the text is the same for absent and private
            ones.
    """
    target, prefix = route.target, route.prefix
    cls = type(target)
    try:
        table = _TABLES[cls][prefix]
    except KeyError:
        table = _make_table(cls, prefix)
    function = table.get(name)
    if function is not None:
        return types.MethodType(function, target)
    if dynamic and _NAME.match(name):
        method = getattr(target, prefix + name, None)
        if callable(method):
            return method  # type: ignore[no-any-return]
    raise route.missing(f"no remote method '{text_of(name)}'")


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


def call_method(method: Callable[..., Any], name: str, args: Any, kw: dict[str, Any]) -> Any:
    """Call a method with a peer's arguments.

    Raises:
        WrongArguments: they do not fit its signature; whatever else the method raises passes
            through.
    """
    try:
        return method(*args, **kw)
    except TypeError as error:
        # One level of traceback: the call itself failed, not something inside the method.
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise WrongArguments(f"{name}: {_signature_fault(error)}") from None
        raise


def _signature_fault(error: TypeError) -> str:
    # CPython starts with the qualified name of the function, which is ours to keep, and may end
    # with a keyword of the peer's.
    text = str(error).partition("() ")[2] or "wrong arguments"
    return text.encode("unicode_escape").decode("ascii")[:120]


def _make_table(cls: type, prefix: str) -> Mapping[str, types.FunctionType]:
    table: dict[str, types.FunctionType] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            name = attribute.removeprefix(prefix)
            if name == attribute:
                continue
            if isinstance(value, types.FunctionType) and _NAME.match(name):
                table[name] = value
            else:
                table.pop(name, None)
    _TABLES.setdefault(cls, {})[prefix] = table
    return table
