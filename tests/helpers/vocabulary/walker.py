"""Walks the public names of Twisted's modules beside ours, and says where they differ.

What counts as a name of a module: what its ``__all__`` lists, and what is bound in its own source
by ``def``, ``class`` or an assignment; never what it imports, what begins with an underscore, or
what Twisted marks deprecated. Of a class: the same, in its own body and in the bodies of those of
its bases that are in no walked module. What a name is comes from the running modules, so that
decorators and generated names are seen as programs see them.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import warnings
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from zope.interface import implementedBy
from zope.interface.interface import InterfaceClass, Method

from vocabulary.replacements import OBJECTS, REACTOR, REPLACEMENTS, Replacement
from vocabulary.signatures import Difference, compare, fits, signature_of, written

__all__ = ["Walk", "walk_all"]

# Where the interfaces of Twisted's reactors are implemented, on every system.
_REACTOR_CLASS = "twisted.internet.selectreactor.SelectReactor"
_WALKED = {replacement.theirs: replacement for replacement in REPLACEMENTS}
_MISSING = object()


class Walk(NamedTuple):
    """What was found in one module: how many names were compared, and those that differ."""

    replacement: Replacement
    count: int
    differences: list[Difference]


def walk_all() -> list[Walk]:
    """Return what each module's names have become."""
    with warnings.catch_warnings():
        # Twisted warns about modules that it imports itself.
        warnings.simplefilter("ignore")
        return [*map(_walk_module, REPLACEMENTS), _walk_reactor(), *map(_walk_object, OBJECTS)]


def _walk_module(replacement: Replacement) -> Walk:
    theirs = importlib.import_module(replacement.theirs)
    ours = _imported(replacement.ours)
    found: list[Difference] = []
    count = 0
    for name in _names_of(theirs):
        value = getattr(theirs, name)
        dotted = f"{replacement.theirs}.{name}"
        here = getattr(ours, name, _MISSING)
        count += 1
        if here is _MISSING:
            found.append(Difference(dotted))
            continue
        found += compare(dotted, value, here)
        if isinstance(value, type):
            found += _compare_bases(dotted, value, here)
            members = list(_members_of(value))
            count += len(members)
            for member, there in members:
                found += _compare_member(f"{dotted}.{member}", there, here)
        elif isinstance(value, InterfaceClass):
            count += len(value.names())
            found += _compare_interface(dotted, value, here)
    return Walk(replacement, count, found)


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise


def _names_of(module: ModuleType) -> list[str]:
    published = set(getattr(module, "__all__", ()))
    bound = set(_bound_in(ast.parse(inspect.getsource(module)).body))
    found = {n: _current(module, n) for n in published | bound if not n.startswith("_")}
    return sorted(
        name
        for name, value in found.items()
        if value is not _MISSING
        and (name in published or _is_own(value, module))
        and not _is_deprecated(value)
    )


def _current(module: ModuleType, name: str) -> Any:
    """An attribute of a module, unless it warns those who ask for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return getattr(module, name, _MISSING)
        except DeprecationWarning:
            return _MISSING


def _is_own(value: Any, module: ModuleType) -> bool:
    """Whether what is bound in a module was not imported there by a longer way."""
    if isinstance(value, TypeVar):
        return False
    location = getattr(value, "__module__", None)
    is_elsewhere = isinstance(location, str) and location != module.__name__
    return not (is_elsewhere and (isinstance(value, type) or inspect.isfunction(value)))


def _bound_in(body: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Assign() | ast.AnnAssign():
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        yield node.id
            case ast.If() | ast.Try():
                yield from _bound_in(statement.body)
                yield from _bound_in(statement.orelse)
                for handler in getattr(statement, "handlers", []):
                    yield from _bound_in(handler.body)


def _is_deprecated(value: Any) -> bool:
    if isinstance(value, property):
        value = value.fget
    return hasattr(value, "deprecatedVersion")


def _members_of(cls: type) -> Iterator[tuple[str, Any]]:
    """The public members of a class, and of its bases that are walked nowhere else."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if base is not cls and base.__module__ in _WALKED and not base.__name__.startswith("_"):
            seen.update(vars(base))
        elif base.__module__.startswith("twisted."):
            for name, value in sorted(vars(base).items()):
                if name not in seen and not name.startswith("_") and not _is_deprecated(value):
                    seen.add(name)
                    yield name, value


def _compare_member(dotted: str, theirs: Any, cls: Any) -> list[Difference]:
    name = dotted.rpartition(".")[2]
    ours = inspect.getattr_static(cls, name, _MISSING)
    if ours is _MISSING:
        return [] if _sets_itself(cls, name) else [Difference(dotted)]
    if isinstance(theirs, property) or isinstance(ours, property):
        return []
    if isinstance(theirs, type):
        return [] if callable(getattr(cls, name)) else [Difference(dotted, "callable", "a value")]
    first = 0 if isinstance(theirs, staticmethod) else 1
    return compare(dotted, _plain_function(theirs), _plain_function(ours), first)


def _plain_function(value: Any) -> Any:
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _sets_itself(cls: Any, name: str) -> bool:
    """Whether instances of a class have the attribute, though the class has not."""
    for base in getattr(cls, "__mro__", ()):
        if name in vars(base).get("__annotations__", {}):
            return True
        if base.__module__.partition(".")[0] in ("broker", "cred", "jelly"):
            assigned = rf"\bself\.{name}(?:, self\.\w+)*(?:: [^=\n]+)? = "
            if any(re.search(assigned, source) for source in _method_sources(base)):
                return True
    return False


def _method_sources(cls: type) -> Iterator[str]:
    """The texts of its methods; that of a class is not found if its module is not its file."""
    for value in vars(cls).values():
        function = value.fget if isinstance(value, property) else _plain_function(value)
        if inspect.isfunction(function) and not function.__code__.co_filename.startswith("<"):
            yield inspect.getsource(function)


def _compare_bases(dotted: str, theirs: type, ours: Any) -> list[Difference]:
    """Compare what ``except`` and ``isinstance`` can be asked about."""
    missing = []
    for base in theirs.__mro__[1:]:
        expected: Any = None
        if base.__module__ in _WALKED and not base.__name__.startswith("_"):
            expected = getattr(_imported(_WALKED[base.__module__].ours), base.__name__, None)
        elif base.__module__ == "builtins" and issubclass(base, Exception):
            expected = base
        if expected is not None and not (isinstance(ours, type) and issubclass(ours, expected)):
            missing.append(base.__name__)
    if not missing:
        return []
    own = [base.__name__ for base in getattr(ours, "__mro__", ())[1:] if base is not object]
    return [Difference(f"{dotted} (bases)", ", ".join(missing), ", ".join(own) or "object")]


def _compare_interface(dotted: str, theirs: Any, ours: Any) -> list[Difference]:
    """Compare what two interfaces ask of who provides them."""
    if not isinstance(ours, InterfaceClass):
        return []
    found = []
    for name in sorted(theirs.names()):
        wanted, here = theirs[name], ours.get(name)
        if here is None:
            found.append(Difference(f"{dotted}.{name}"))
        elif isinstance(wanted, Method):
            there = wanted.getSignatureString()
            shown = here.getSignatureString() if isinstance(here, Method) else "an attribute"
            if there != shown:
                found.append(Difference(f"{dotted}.{name}", there, shown))
    return found


def _named(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _walk_reactor() -> Walk:
    """Walk the interfaces that Twisted's reactors provide."""
    reactor = _named(_REACTOR_CLASS)
    ours = importlib.import_module(REACTOR.ours)
    found: list[Difference] = []
    count = 0
    interfaces = {i.__name__: i for i in implementedBy(reactor).flattened()}
    for title, interface in sorted(interfaces.items()):
        for member in sorted(interface.names()) if title.startswith("IReactor") else ():
            count += 1
            dotted = f"{REACTOR.theirs}.{member}"
            here = getattr(ours, member, _MISSING)
            if here is _MISSING:
                found.append(Difference(dotted))
            elif isinstance(interface[member], Method):
                # Some are bound methods, some the functions of other modules.
                there = signature_of(
                    getattr(reactor, member),
                    int(inspect.isfunction(inspect.getattr_static(reactor, member))),
                )
                shown = signature_of(here)
                if there is not None and not (shown is not None and fits(there, shown)):
                    found.append(Difference(dotted, written(there), written(shown)))
    return Walk(REACTOR, count, found)


def _walk_object(replacement: Replacement) -> Walk:
    """Walk an interface, and what its bases ask too, beside a class of ours."""
    interface, cls = _named(replacement.theirs), _named(replacement.ours)
    found: list[Difference] = []
    names = sorted(interface.names(all=True))
    for name in names:
        dotted = f"{replacement.theirs}.{name}"
        ours = inspect.getattr_static(cls, name, _MISSING)
        wanted = interface[name]
        if ours is _MISSING:
            found += [] if _sets_itself(cls, name) else [Difference(dotted)]
        elif isinstance(wanted, Method):
            there, here = wanted.getSignatureString(), written(signature_of(ours, 1))
            if _without_extras(here, there) != there:
                found.append(Difference(dotted, there, here))
    return Walk(replacement, len(names), found)


def _without_extras(here: str, there: str) -> str:
    """Drop keyword-only parameters that the interface does not have."""
    head, found, _ = here.partition(", *, ")
    return f"{head})" if found and f"{head})" == there else here
