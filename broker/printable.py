"""Makes text, values and errors of a peer fit for a log: printable and bounded.

Theory of operation. ``repr`` and ``str`` of a graph with shared parts expand it as a tree, whose
size has no bound. So nothing here calls them before the size of that tree is known:
:func:`is_small` counts it, and stops when it is too large. A small value is shown by its own
``repr``. Of a large value Python's containers are walked up to the length of the result, and an
instance is shown by the name of its class.
"""

from __future__ import annotations

import datetime
import gc
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jelly.printable import printable

__all__ = ["has_small_text", "is_small", "printable", "repr_of", "text_of_error", "text_of_value"]

_SMALL = 4096
_DEEPEST = 6
_MOST_ELEMENTS = 100
_MOST_BITS = 4096

_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
_OPAQUE = (types.TracebackType, types.FrameType, types.GeneratorType, types.CoroutineType)
_SETS = (set, frozenset)
# Their texts tell the position of the error, and do not repeat the text.
_UNICODE_TEXTS = tuple(
    cls.__str__ for cls in (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError)
)


def repr_of(value: object, most: int = 1000) -> str:
    """Return the ``repr`` of a value, or its beginning, in time proportional to the result.

    The result may have characters that are not printable, if a ``repr`` of the application does.

    Args:
        value: any object. An instance whose state, expanded as a tree, has more than 4,096 parts is
            shown by the name of its class, and so is one whose ``repr`` raises.
        most: the most characters of the result.
    """
    writer = _Writer(most)
    writer.write(value, 0)
    return writer.text()


def text_of_error(error: BaseException, most: int = 1000) -> str:
    """Return ``str(error)``, or its beginning, in time proportional to the result.

    It is ``str(error)`` if that is not longer than ``most`` and the error is small, see
    :func:`is_small`. Otherwise it is made of ``error.args``, or by a method ``text_within(most)``
    of the class.

    Args:
        error: the exception.
        most: the most characters of the result.
    """
    if has_small_text(error):
        return _cut(_called(str, error), most)
    args = getattr(error, "args", ())
    within = getattr(error, "text_within", None)
    if within is not None:
        return _cut(str(within(most)), most)
    if isinstance(error, BaseExceptionGroup):
        args = (error.message,)
    if type(args) is not tuple or len(args) != 1:
        return repr_of(args, most)
    if isinstance(args[0], str) and not isinstance(error, KeyError):
        return _cut(str.__getitem__(args[0], slice(most + 1)), most)
    return repr_of(args[0], most)


def text_of_value(value: object, most: int = 1000) -> str:
    """Return ``str(value)``, or its beginning, of any object; see :func:`text_of_error`."""
    if isinstance(value, str):
        return _cut(value, most)
    if isinstance(value, BaseException):
        return text_of_error(value, most)
    if isinstance(value, type) or is_small(value):
        return _cut(_called(str, value), most)
    return repr_of(value, most)


def has_small_text(error: BaseException) -> bool:
    """Return whether ``str(error)`` is fast, since its parts are small; see :func:`is_small`.

    A class with a ``__str__`` of its own may use all attributes of the error, others use the
    arguments.
    """
    own = type(error).__str__
    if not isinstance(own, types.WrapperDescriptorType):
        return is_small([error.args, getattr(error, "__dict__", None)])
    if own in _UNICODE_TEXTS:
        return True
    if isinstance(error, BaseExceptionGroup):
        return is_small(error.message)
    names = [getattr(error, name, None) for name in ("filename", "filename2")]
    return is_small([error.args, names])


def is_small(value: object, most: int = _SMALL) -> bool:
    """Return whether a value, expanded as a tree, has at most ``most`` parts.

    A part is an object, a byte or a character. Attributes are counted; the contents of classes,
    functions and modules are not. An object whose parts are not known counts by its size in memory.
    """
    stack: list[object] = [value]
    left = most
    while stack:
        item = stack.pop()
        try:
            left -= 1 + _weight(item)
            parts = _parts(item)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a class may have answered for its instances
            return False
        if parts is None:
            return False
        left -= len(parts)
        if left < 0:
            return False
        stack.extend(parts)
    return True


def _weight(item: object) -> int:
    """Return the size of a value that has no parts, or whose parts are not known."""
    if isinstance(item, str | bytes | bytearray | memoryview):
        return len(item)
    if isinstance(item, int):
        return item.bit_length() // 8
    if isinstance(item, _NAMED) or gc.is_tracked(item):
        return 0
    return max(0, sys.getsizeof(item) - 128)


def _parts(item: Any) -> Any:
    """Return the parts of a value; None if it is too much to tell."""
    kind = type(item)
    if kind in (str, bytes, int, float, bool, types.NoneType) or isinstance(item, _NAMED):
        return ()
    if kind in (list, tuple, set, frozenset, deque):
        return item
    if kind is dict:
        return _Pairs(item)
    if isinstance(item, _OPAQUE):
        return None
    if isinstance(item, BaseException):
        return [item.args, getattr(item, "__dict__", None)]
    if isinstance(item, datetime.datetime | datetime.time):
        return [item.tzinfo]
    if kind is datetime.timezone:
        return [item.tzname(None)]
    methods: Any = (kind.__repr__, kind.__str__)
    if methods == (object.__repr__, object.__str__):
        return ()
    fields = getattr(kind, "__struct_fields__", None)
    if isinstance(fields, tuple):
        return [getattr(item, name, None) for name in fields]
    return [part for part in gc.get_referents(item) if part is not kind]


class _Pairs:
    """The keys and the values of a dict, counted before they are copied."""

    def __init__(self, pairs: dict[object, object]):
        self._pairs = pairs

    def __len__(self) -> int:
        return 2 * len(self._pairs)

    def __iter__(self) -> Iterator[object]:
        yield from self._pairs
        yield from self._pairs.values()


def _called(function: Callable[[object], str], value: object) -> str:
    """Return ``str`` or ``repr`` of a value, or a text instead if its class raises."""
    try:
        return str(function(value))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:  # noqa: BLE001 - a broken method must not hide what is told
        name = type(value).__name__
        return f"<{name} whose {function.__name__}() raised {type(exc).__name__}>"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(0, most - 3)]}..."


class _Writer:
    """Writes the repr of one value up to a length.

    Args:
        most: the most characters.
    """

    def __init__(self, most: int):
        self._most = most
        self._left = most
        self._elements = _MOST_ELEMENTS
        self._pieces: list[str] = []

    def text(self) -> str:
        return _cut("".join(self._pieces), self._most)

    def write(self, value: Any, depth: int) -> None:
        kind = type(value)
        if depth == 0 and is_small(value):
            self._put(_called(repr, value))
        elif kind in (str, bytes):
            text = repr(value[: self._left + 1])
            self._put(text if len(value) <= self._left else f"{text[: self._left]}...")
        elif kind is int and value.bit_length() > _MOST_BITS:
            self._put(f"<int of {value.bit_length()} bits>")
        elif kind in (list, tuple):
            self._write_all(value, "[]" if kind is list else "()", depth)
        elif kind in _SETS:
            self._write_all(value, "{}" if kind is set else ("frozenset({", "})"), depth)
        elif kind is dict:
            self._write_all(value.items(), "{}", depth, is_dict=True)
        elif is_small(value, 500):
            self._put(_called(repr, value))
        else:
            name = f"{kind.__module__}.{kind.__qualname__}"
            own = getattr(value, "__qualname__", None) if kind.__module__ == "builtins" else None
            self._put(f"<{name} {own if isinstance(own, str) else 'object'}>")

    def _put(self, text: str) -> None:
        self._pieces.append(text)
        self._left -= len(text)

    def _write_all(
        self, items: Iterable[Any], brackets: Sequence[str], depth: int, is_dict: bool = False
    ) -> None:
        self._put(brackets[0])
        between = ""
        for item in items:
            self._put(between)
            between = ", "
            self._elements -= 1
            if self._left <= 0 or self._elements < 0 or depth >= _DEEPEST:
                self._put("...")
                break
            if is_dict:
                self.write(item[0], depth + 1)
                self._put(": ")
            self.write(item[1] if is_dict else item, depth + 1)
        if type(items) is tuple and len(items) == 1:
            self._put(",")
        self._put(brackets[1])
