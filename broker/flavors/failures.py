"""Exceptions that cross: what a peer gets to see of ours, and what its exceptions become here."""

from __future__ import annotations

import secrets
import sys
from typing import Any

from broker import errors
from broker.core.policy import Policy
from broker.failure import Failure, qual, wire_name
from broker.flavors.copyable import Copyable, RemoteCopy
from jelly.atoms import text_of
from jelly.errors import MalformedJelly
from jelly.interfaces import IJellyable
from jelly.printable import printable
from jelly.registry import defaults

__all__ = ["MOST_TEXT_SHOWN", "CopiedFailure", "CopyableFailure", "register_errors", "shown_error"]

_NO_TRACEBACK = "Traceback unavailable\n"
_MAX_TEXT = 1024
MOST_TEXT_SHOWN = 64 * 1024
"""Characters of the text of an exception that cross where the policy shows all of it."""


class CopyableFailure(Failure, Copyable):
    """A Failure on its way to a peer (published).

    Attributes:
        unsafeTracebacks: send the traceback's text too.
        shown_type, shown_value, shown_parents: what the peer gets in place of the exception's own.
    """

    unsafeTracebacks: bool = False
    shown_type: str | None = None
    shown_value: str | None = None
    shown_parents: list[str] | None = None

    def getStateToCopy(self) -> dict[str, Any]:
        """Return the fields that PB gives a failure, in PB's order."""
        kind = self.type if isinstance(self.type, str) else wire_name(self.type)
        value = self.shown_value
        if value is None:
            value = self.text_within(MOST_TEXT_SHOWN)
        return {
            "count": 0,
            "type": (self.shown_type or kind).encode("utf-8"),
            "value": value,
            "captureVars": False,
            "tb": None,
            "unsafeTracebacks": self.unsafeTracebacks,
            "parents": list(self.parents if self.shown_parents is None else self.shown_parents),
            "frames": [],
            "stack": [],
            "traceback": self.getTraceback()[:MOST_TEXT_SHOWN]
            if self.unsafeTracebacks
            else _NO_TRACEBACK,
        }


class CopiedFailure(RemoteCopy, Failure):
    """A peer's failure (published). Raised, it is the registered class of its type, or RemoteError.

    Attributes:
        type: the wire name of the exception's class, a str.
        value: its text.
        parents: the wire names of its class and bases.
        traceback: the peer's traceback, or that it is not available.
    """

    traceback: str = _NO_TRACEBACK

    def setCopyableState(self, state: Any) -> None:
        """Take over the fields that matter; a peer of any version may send fewer, or more."""
        if not isinstance(state, dict):
            raise MalformedJelly("state of a failure is no dictionary")
        self.type = _text(state.get("type"), "builtins.Exception")
        self.value = _text(state.get("value"), "")
        parents = state.get("parents")
        names = parents if isinstance(parents, list) else []
        self.parents = [_text(name, "") for name in names[:100]] or [self.type]
        self.traceback = _text(state.get("traceback"), _NO_TRACEBACK)
        self.tb = None
        self.frames = []
        self.stack = []

    def as_exception(self) -> BaseException:
        """Return the exception that this failure is raised as."""
        cls = _error_class(self.type)
        if cls is None:
            return errors.RemoteError(self.type, self.value, self.traceback)
        # Not through __init__, whose arguments only the peer knows; the text is all that came.
        error = cls.__new__(cls, self.value)
        error.args = (self.value,)
        if self.traceback != _NO_TRACEBACK:
            error.add_note(f"remote traceback:\n{self.traceback}")
        return error

    def getErrorMessage(self) -> str:
        """Return the exception's text."""
        return str(self.value)

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """Return the traceback as the peer sent it."""
        return f"Traceback from remote host -- {self.traceback}"

    def printTraceback(
        self, file: Any = None, elideFrameworkCode: int = 0, detail: str = "default"
    ) -> None:
        """Write the traceback as the peer sent it to a file; to the log's stream unless given."""
        (file or sys.stderr).write(self.getTraceback())

    def text_for_log(self) -> str:
        """Return the peer's traceback, its exception's name and text, in three printable lines."""
        traceback = printable(self.traceback, 2000, is_ascii=False)
        kind = printable(self.type, 200)
        text = printable(self.value, 1000, is_ascii=False)
        return f"Traceback from remote host -- {traceback}\n{kind}: {text}\n"

    printBriefTraceback = printTraceback
    printDetailedTraceback = printTraceback

    def __str__(self) -> str:
        kind = printable(self.type, 200)
        return f"[CopiedFailure instance: {kind}: {printable(self.value, 1000, is_ascii=False)}]"

    __repr__ = __str__


def register_errors(*classes: type[BaseException]) -> None:
    """Let errors of these classes cross under every policy, and arrive as what they are."""
    for cls in classes:
        defaults.declared.errors[qual(cls)] = cls


register_errors(
    errors.CallTimeout,
    errors.CannotJelly,
    errors.DeadReferenceError,
    errors.Error,
    errors.InsecureJelly,
    errors.LimitExceeded,
    errors.LoginExpired,
    errors.MalformedJelly,
    errors.NoSuchMethod,
    errors.NoSuchObject,
    errors.PBConnectionLost,
    errors.ProtocolError,
    errors.ServerBusy,
    errors.ServerDraining,
    errors.TooLarge,
    errors.TooManyAttempts,
    errors.WrongArguments,
)


def shown_error(error: Any, policy: Policy, tracebacks: bool = False) -> tuple[Any, str | None]:
    """Return what a peer gets to see of an exception.

    Args:
        error: the exception, or a Failure of ours or of Twisted's.
        policy: says how much is shown.
        tracebacks: whether tracebacks are sent even where the policy does not say so.

    Returns:
        The object to send as the error, and the id that stands for a text which is not shown.
    """
    failure = Failure.of(error)
    value = failure.value
    if IJellyable.providedBy(value) or policy.security.isClassAllowed(type(value)):
        return value, None
    if isinstance(failure, CopyableFailure):
        return failure, None
    shown = CopyableFailure(failure)
    # The lines of a traceback would tell why a login was refused.
    is_login = failure.check("twisted.cred.error.UnauthorizedLogin")
    shown.unsafeTracebacks = not is_login and (tracebacks or policy.unsafe_tracebacks)
    if policy.show_all_errors:
        return shown, None
    name, *bases = failure.parents
    # Of a pb.Error the class need not be registered: it was raised on purpose, for the peer, by
    # this side or by one whose failure is passed on.
    if _error_class(name) is not None or qual(errors.Error) in bases:
        shown.shown_parents = [name, *filter(_is_shown, bases)]
        shown.shown_value = failure.text_within(_MAX_TEXT)
        return shown, None
    error_id = secrets.token_hex(4)
    shown.shown_type = qual(errors.RemoteError)
    shown.shown_parents = [qual(cls) for cls in errors.RemoteError.__mro__]
    shown.shown_value = f"internal error (id {error_id})"
    return shown, error_id


def _is_shown(base: str) -> bool:
    """Whether a peer gets to know a base class; by builtins it traps what it does not know."""
    return base.startswith("builtins.") or _error_class(base) is not None


def _error_class(name: str) -> type[BaseException] | None:
    found: type[BaseException] | None = defaults.declared.errors.get(name)
    return found


def _text(value: Any, otherwise: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value
    return otherwise if value is None else text_of(value)
