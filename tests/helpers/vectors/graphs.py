"""Values that need code: shared parts, cycles, instances. Imports neither implementation.

``make_classes(lib)`` gives the classes of the vectors, made from the base classes of one
implementation; ``namespace(lib)`` is what the ``value`` texts of jelly.json are evaluated in.
"""

from __future__ import annotations

import datetime
import decimal
import sys
import types
from collections.abc import Callable
from typing import Any

# The classes have this name of their module in the vectors, and Twisted imports it.
__name__ = "graphs"
sys.modules[__name__] = sys.modules[__spec__.name]


def namespace(classes: types.SimpleNamespace) -> dict[str, Any]:
    """The names that a ``value`` text may use."""
    names = {
        "datetime": datetime.datetime,
        "date": datetime.date,
        "time": datetime.time,
        "timedelta": datetime.timedelta,
        "timezone": datetime.timezone,
        "Decimal": decimal.Decimal,
        "classes": classes,
        "greet": greet,
        "datetime_module": datetime,
        "inf": float("inf"),
        "nan": float("nan"),
    }
    names.update({f.__name__: f for f in BUILDERS})
    return names


def greet() -> str:
    """A function that a vector names."""
    return "hello"


class Plain:
    """A class of no flavor."""

    x: Any

    def method(self) -> Any:
        """A method that a vector names."""
        return self.x


class Stateful:
    """A class that says what its state is."""

    x: Any

    def __getstate__(self) -> Any:
        return ("state", self.x)

    def __setstate__(self, state: Any) -> None:
        self.x = state[1]


def make_classes(lib: Any) -> types.SimpleNamespace:
    """The classes of the vectors; ``lib`` has Jellyable, Unjellyable, Copyable and RemoteCopy."""

    def define(name: str, *bases: type) -> type:
        return type(name, bases, {"__module__": "graphs", "__qualname__": name})

    return types.SimpleNamespace(
        Plain=Plain,
        Stateful=Stateful,
        Point=define("Point", lib.Jellyable, lib.Unjellyable),
        Card=define("Card", lib.Copyable, lib.RemoteCopy),
        Node=define("Node", lib.Copyable, lib.RemoteCopy),
    )


def make(cls: type, **attributes: Any) -> Any:
    """An instance with these attributes, in this order."""
    instance = cls.__new__(cls)
    instance.__dict__.update(attributes)
    return instance


def shared_list(times: int) -> list[Any]:
    """One list, that many times in another."""
    inner = [1]
    return [inner] * times


def shared_tuple() -> list[Any]:
    """One tuple, twice."""
    inner = (1, "x")
    return [inner, inner]


def equal_not_shared() -> list[Any]:
    """Two lists that are equal and not the same."""
    return [[1], [1]]


def shared_str_bytes() -> list[Any]:
    """Strings are never references."""
    text, data = "text", b"data"
    return [text, text, data, data]


def shared_date() -> list[Any]:
    """Dates, times and Decimals are never references."""
    day, number = datetime.date(2001, 2, 3), decimal.Decimal("1.5")
    return [day, day, number, number]


def two_shared() -> list[Any]:
    """Two lists in the order a b b a."""
    a, b = ["a"], ["b"]
    return [a, b, b, a]


def nested_shared() -> list[Any]:
    """A shared list within a shared list: the outer is found to be shared last."""
    inner = ["inner"]
    outer = [inner, inner]
    return [outer, outer]


def inner_shared_later() -> list[Any]:
    """The outer list is found to be shared before its inner one."""
    inner = ["inner"]
    outer = [inner]
    return [outer, outer, inner]


def shared_key() -> dict[Any, Any]:
    """A tuple that is the key of a dict and a value in it."""
    key = (1, 2)
    return {key: "first", "again": key}


def shared_key_two_dicts() -> list[Any]:
    """A tuple that is a key of two dicts."""
    key = (1, (2, 3))
    return [{key: 1}, {key: 2}]


def shared_value() -> dict[Any, Any]:
    """A list that is three values of a dict."""
    value = [0]
    return {"a": value, "b": value, "c": value}


def shared_dict() -> list[Any]:
    """One dict, twice."""
    inner = {"k": 1}
    return [inner, inner]


def shared_set(kind: type) -> list[Any]:
    """One set, twice."""
    inner = kind([1])
    return [inner, inner]


def shared_in_set() -> list[Any]:
    """A tuple within a set and outside of it."""
    inner = (1, 2)
    return [{inner}, frozenset([inner]), inner]


def list_of_itself() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


def list_of_itself_twice() -> list[Any]:
    """A list that holds itself two times, and something between."""
    value: list[Any] = []
    value += [value, "between", value]
    return value


def dict_of_itself() -> dict[Any, Any]:
    """A dict that is its own value."""
    value: dict[Any, Any] = {}
    value["self"] = value
    return value


def tuple_cycle() -> list[Any]:
    """A list that holds a tuple that holds the list; the list is outermost."""
    value: list[Any] = []
    value.append((value,))
    return value


def tuple_cycle_outer() -> tuple[Any, ...]:
    """The same cycle, the tuple outermost."""
    value: list[Any] = []
    result = (value,)
    value.append(result)
    return result


def tuple_cycle_deep() -> list[Any]:
    """A tuple in a tuple in a list that holds both."""
    value: list[Any] = []
    inner = (value, 1)
    outer = (inner, value, 2)
    value += [outer, inner]
    return value


def tuple_dict_cycle() -> tuple[Any, ...]:
    """A tuple that holds a dict that holds the tuple."""
    value: dict[Any, Any] = {}
    result = (value, "end")
    value["up"] = result
    return result


def two_cycle() -> list[Any]:
    """Two lists that hold each other."""
    a: list[Any] = ["a"]
    b: list[Any] = ["b", a]
    a.append(b)
    return a


def instance_cycle(cls: type) -> Any:
    """An instance that is its own attribute."""
    instance = make(cls, name="loop")
    instance.__dict__["self"] = instance
    return instance


def instance_pair(cls: type) -> Any:
    """Two instances, each an attribute of the other."""
    a, b = make(cls, name="a"), make(cls, name="b")
    a.__dict__["other"], b.__dict__["other"] = b, a
    return a


def instance_tuple_cycle(cls: type) -> Any:
    """An instance in a tuple that is its attribute."""
    instance = make(cls)
    instance.__dict__["pair"] = (1, instance)
    return instance


def shared_instance(cls: type) -> list[Any]:
    """One instance, twice."""
    instance = make(cls, x=1)
    return [instance, instance]


def tree(cls: type) -> Any:
    """A parent with two children that know it."""
    parent = make(cls, name="parent", children=[])
    for name in ("first", "second"):
        parent.__dict__["children"].append(make(cls, name=name, parent=parent))
    return parent


BUILDERS: tuple[Callable[..., Any], ...] = (
    make,
    shared_list,
    shared_tuple,
    equal_not_shared,
    shared_str_bytes,
    shared_date,
    two_shared,
    nested_shared,
    inner_shared_later,
    shared_key,
    shared_key_two_dicts,
    shared_value,
    shared_dict,
    shared_set,
    shared_in_set,
    list_of_itself,
    list_of_itself_twice,
    dict_of_itself,
    tuple_cycle,
    tuple_cycle_outer,
    tuple_cycle_deep,
    tuple_dict_cycle,
    two_cycle,
    instance_cycle,
    instance_pair,
    instance_tuple_cycle,
    shared_instance,
    tree,
)


def portrait(value: Any) -> Any:
    """What is equal for two graphs of the same shape: types, values, sharing and cycles."""
    return _portrait(value, {}, [])


def _portrait(value: Any, seen: dict[int, int], alive: list[Any]) -> Any:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, (list, tuple, dict, set, frozenset)) or hasattr(value, "__dict__"):
        if isinstance(value, (type, types.FunctionType, types.ModuleType)):
            return (kind, repr(value))
        if id(value) in seen:
            return ("same as", seen[id(value)])
        seen[id(value)] = len(seen)
        alive.append(value)
    if isinstance(value, (list, tuple)):
        return (kind, [_portrait(item, seen, alive) for item in value])
    if isinstance(value, dict):
        items = [(_portrait(k, seen, alive), _portrait(v, seen, alive)) for k, v in value.items()]
        return (kind, items)
    if isinstance(value, (set, frozenset)):
        # By their portraits: the repr of a set in a set depends on how it was filled. What has been
        # seen is a member's own, since it may hold the set.
        members = sorted(value, key=lambda item: repr(_portrait(item, dict(seen), alive)))
        return (kind, [_portrait(item, seen, alive) for item in members])
    if hasattr(value, "__dict__"):
        return (kind, _portrait(vars(value), seen, alive))
    return (kind, repr(value))
