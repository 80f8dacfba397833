"""Exceptions that are made again at a peer: which classes can be, and what of them crosses.

Theory of operation. A registered error crosses as its text and its declared fields. At the peer it
is made without its constructor, whose arguments only the sender knows: its ``args`` are the text,
and the fields are attributes. A class that cannot be made so is refused where it is registered.
What came for one error may still not fit; then there is no exception, and the caller gets a
RemoteError.
"""

from __future__ import annotations

import copyreg
import logging
from typing import Any, TypeVar

from broker.errors import ConfigError
from broker.failure import qual
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
# Raised inside a coroutine or a generator they would not arrive.
_ENDS_OF_ITERATION = (StopIteration, StopAsyncIteration)


def check_error_class(cls: type[BaseException]) -> None:
    """Refuse an exception class that could not be made again at a peer; let others be pickled.

    Raises:
        ConfigError: the class is such, and the text says why.
    """
    why = _obstacle(cls)
    if why:
        raise ConfigError(f"{qual(cls)} cannot be made again at a peer: {why}")
    if cls.__reduce__ is BaseException.__reduce__ and cls.__reduce_ex__ is object.__reduce_ex__:
        # Python would call the class with ``args``, and its constructor may want others.
        copyreg.pickle(cls, _reduced)


def rebuilt(
    cls: type[Raised], text: str, fields: dict[str, Any], traceback: str = ""
) -> Raised | None:
    """Return an exception of a class, with what crossed; None if it could not be used.

    Args:
        cls: a registered class.
        text: the exception's text.
        fields: its declared fields.
        traceback: the peer's, to be printed with the exception.
    """
    try:
        error = _made(cls, text)
        if cls in defaults.declared.with_fields:
            put_state(error, fields, declared=True, with_hook=False)
        if traceback:
            # Past the guard of a frozen dataclass.
            object.__setattr__(error, "__notes__", [f"remote traceback:\n{traceback}"])
        str(error)
        repr(error)
        _without_references(fields, None, None)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # noqa: BLE001 - code of the class runs, on what a peer sent
        logger.warning("an error is no %s here: %s", qual(cls), text_of(str(fault)))
        return None
    return error


def fields_to_send(error: Any, security: Security, limits: Limits) -> dict[str, Any]:
    """Return the declared fields of an exception, or none, with a warning, if they cannot be sent.

    Args:
        error: an exception of a registered class.
        security: says which instances may go out.
        limits: bounds how deep the fields may be.
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
    """Return a text that can be sent: half of a surrogate pair is written as ``\\ud800``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _obstacle(cls: type[BaseException]) -> str:
    if not issubclass(cls, Exception):
        return "it is no Exception, and would end the program that awaits it"
    if issubclass(cls, _ENDS_OF_ITERATION):
        return "a coroutine cannot raise it"
    if issubclass(cls, BaseExceptionGroup):
        return "the exceptions that it holds do not cross"
    try:
        error = _made(cls, _TRIAL)
        # What is printed by code of Python's own tells the text, or comes from the constructor.
        is_told = hasattr(cls.__str__, "__code__") or _TRIAL in str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # noqa: BLE001 - its own code runs, and may raise anything
        return f"its __new__ must take the text alone ({type(fault).__name__}); use __init__"
    return "" if is_told else "its text comes from its constructor, which does not run"


def _made(cls: type[Raised], *args: object) -> Raised:
    error = cls.__new__(cls, *args)
    if type(error) is not cls:
        raise TypeError(f"__new__ returned {type(error).__name__}")
    object.__setattr__(error, "args", args)
    return error


def _reduced(error: BaseException) -> tuple[Any, ...]:
    state = {**vars(error), **fields_of(error)}
    return _unpickled, (type(error), error.args, state)


def _unpickled(cls: type[BaseException], args: tuple[object, ...], state: dict[str, Any]) -> Any:
    error = _made(cls, *args)
    for name, value in state.items():
        object.__setattr__(error, name, value)
    return error


class _Nowhere:
    """Stands for a connection that no object can be exported to."""

    serializingPerspective = None

    def __getattr__(self, name: str) -> Any:
        raise CannotJelly("references and caches are no fields of an error")


def _without_references(
    fields: dict[str, Any], security: Security | None, limits: Limits | None
) -> None:
    """Make sure that fields hold values only.

    Raises:
        CannotJelly: they hold a reference or a cache, or what cannot be sent.
    """
    if fields:
        Jellier(security, None, _Nowhere(), limits).jelly(fields)
