"""Exceptions that a peer recreates: which classes can be recreated, and what is sent of them.

Theory of operation. A registered error crosses as its text and its declared fields. The peer
creates it without its constructor, since only the sender knows the constructor's arguments. Its
``args`` are the text, and its fields are set as attributes. A class that cannot be created in this
way is refused when it is registered. The text and fields of one error may still not fit the class.
Then the caller gets a RemoteError.
"""

from __future__ import annotations

import copyreg
import logging
from collections.abc import Callable
from typing import NoReturn, TypeVar

from broker.errors import ConfigError
from broker.failure import qual
from broker.flavors.field_types import check_state
from jelly.atoms import text_of
from jelly.errors import CannotJelly
from jelly.fields import fields_of
from jelly.jellier import Jellier
from jelly.limits import Limits
from jelly.registry import defaults
from jelly.security import Security
from jelly.state import put_state

__all__ = ["check_error_class", "fields_to_send", "rebuilt", "surely_text", "unsent"]

logger = logging.getLogger("broker.errors")

Raised = TypeVar("Raised", bound=BaseException)

_TRIAL = "text"
# Raised inside a coroutine or a generator, these do not reach the caller.
_ENDS_OF_ITERATION = (StopIteration, StopAsyncIteration)


def check_error_class(cls: type[BaseException]) -> None:
    """Refuse an exception class that a peer could not recreate; make the others picklable.

    Raises:
        ConfigError: a peer could not recreate it; the text says why.
    """
    why = _why_not(cls)
    if why:
        raise ConfigError(f"{qual(cls)} cannot be made again at a peer: {why}")
    if cls.__reduce__ is BaseException.__reduce__ and cls.__reduce_ex__ is object.__reduce_ex__:
        # Python would call the class with ``args``, but its constructor may need other arguments.
        copyreg.pickle(cls, _reduced)


def rebuilt(
    cls: type[Raised], text: str, fields: dict[str, object], traceback: str = ""
) -> Raised | None:
    """Return an exception of a class from the received parts; None if it could not be used.

    Args:
        cls: a registered class.
        text: the exception's text.
        fields: its declared fields.
        traceback: the peer's, to be printed with the exception.
    """
    try:
        error = _made(cls, text)
        if cls in defaults.declared.with_fields:
            put_state(error, check_state(cls, fields), declared=True, with_hook=False)
        if traceback:
            # Works for a frozen dataclass too.
            object.__setattr__(error, "__notes__", [f"remote traceback:\n{traceback}"])
        str(error)
        repr(error)
        _without_references(fields, None, None)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # noqa: BLE001 - code of the class runs, with data from the peer
        logger.warning("an error cannot be recreated as %s: %s", qual(cls), text_of(str(fault)))
        return None
    return error


def fields_to_send(error: BaseException, security: Security, limits: Limits) -> dict[str, object]:
    """Return an exception's declared fields; none, with a warning, if they cannot be sent.

    Args:
        error: an exception of a registered class.
        security: says which instances may be sent.
        limits: limits how deep the fields may be.
    """
    try:
        fields = fields_of(error)
        _without_references(fields, security, limits)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # noqa: BLE001 - properties and hooks of the application run
        unsent(type(error), fault)
        return {}
    return fields


def unsent(cls: type, fault: BaseException) -> None:
    """Log that the fields of an error cannot be sent."""
    logger.warning("the fields of %s are not sent: %s", qual(cls), text_of(str(fault)))


def surely_text(text: str) -> str:
    """Return a text that can be sent: a lone surrogate is written as ``\\ud800``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _why_not(cls: type[BaseException]) -> str:
    if not issubclass(cls, Exception):
        return "it is not an Exception, and would end the program that awaits it"
    if issubclass(cls, _ENDS_OF_ITERATION):
        return "a coroutine cannot raise it"
    if issubclass(cls, BaseExceptionGroup):
        return "the exceptions that it holds do not cross"
    try:
        error = _made(cls, _TRIAL)
        # A ``__str__`` in Python may use the text. One in C must, or the constructor sets its text.
        has_text = hasattr(cls.__str__, "__code__") or _TRIAL in str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # noqa: BLE001 - code of the class runs, and may raise anything
        return f"its __new__ must take the text alone ({type(fault).__name__}); use __init__"
    return "" if has_text else "its text comes from its constructor, which does not run"


def _made(cls: type[Raised], *args: object) -> Raised:
    error = cls.__new__(cls, *args)
    if type(error) is not cls:
        raise TypeError(f"__new__ returned {type(error).__name__}")
    object.__setattr__(error, "args", args)
    return error


def _reduced(
    error: BaseException,
) -> tuple[Callable[..., BaseException], tuple[object, ...]]:
    state = {**vars(error), **fields_of(error)}
    return _unpickled, (type(error), error.args, state)


def _unpickled(cls: type[Raised], args: tuple[object, ...], state: dict[str, object]) -> Raised:
    error = _made(cls, *args)
    for name, value in state.items():
        object.__setattr__(error, name, value)
    return error


class _RefusesReferences:
    """Replaces the connection, and refuses to export any object."""

    serializingPerspective = None

    def __getattr__(self, name: str) -> NoReturn:
        raise CannotJelly("the fields of an error cannot hold references or caches")


def _without_references(
    fields: dict[str, object], security: Security | None, limits: Limits | None
) -> None:
    """Check that fields hold values only.

    Raises:
        CannotJelly: they hold a reference, a cache, or a value that cannot be sent.
    """
    if fields:
        Jellier(security, None, _RefusesReferences(), limits).jelly(fields)
