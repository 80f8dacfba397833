"""Exceptions that cross: what a peer sees of a local one, and what a peer's one becomes here."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from typing import Any

from broker import errors
from broker.core.calls.dispatch import was_raised
from broker.core.policy import Policy
from broker.failure import ErrorType, Failure, Writable, qual, wire_name
from broker.flavors.copyable import Copyable, RemoteCopy
from broker.flavors.field_types import FieldTypes
from broker.flavors.rebuilt import fields_to_send, rebuilt, surely_text, unsent
from broker.flavors.received import as_received
from jelly.atoms import text_of
from jelly.errors import MalformedJelly
from jelly.foreign import has_jelly_hook
from jelly.printable import printable
from jelly.registry import defaults

__all__ = ["MOST_TEXT_SHOWN", "CopiedFailure", "CopyableFailure", "register_errors", "shown_error"]

_NO_TRACEBACK = "Traceback unavailable\n"
# The parts of a failure that a peer with this library reads.
_READ = ("type", "value", "parents", "traceback")
# The bases of all exceptions, which are left out of the parents in msgpack/1.
_ROOTS = ("builtins.BaseException", "builtins.object")
_MAX_TEXT = 1024
MOST_TEXT_SHOWN = 64 * 1024
"""How many characters of an exception's text are sent if the policy shows all of it."""


class CopyableFailure(Failure, Copyable):
    """A Failure that is sent to a peer (published).

    Attributes:
        unsafeTracebacks: send the traceback's text too.
        shown_type, shown_value, shown_parents: what the peer receives instead of its own type,
            text and parents.
        shown_fields: the declared fields of a registered error.
        was_raised: whether a method raised an error that describes a connection or a call.
        is_brief: whether only what a peer with this library reads is sent.

    An error that this library reports about a call or an object has a name of its own, and may have
    a second name that Twisted sends. In PB's dialects the type is Twisted's name, and the library's
    own name is the second of the parents.
    """

    unsafeTracebacks: bool = False
    shown_type: str | None = None
    shown_value: str | None = None
    shown_parents: list[str] | None = None
    shown_fields: dict[str, object] | None = None
    was_raised: bool = False
    is_brief: bool = False

    def tell_as_twisted(self, with_text: bool) -> None:
        """Send the type that Twisted sends for this error, and the library's own among the parents.

        Args:
            with_text: whether the error's text is sent too.
        """
        name, *bases = self.parents if self.shown_parents is None else self.shown_parents
        if name not in _CONDITIONS or (self.shown_type or name) != name:
            return
        told: object = self.value
        if wire_name(told.__class__) != name:
            # A peer's failure, which is passed on.
            told = _error_class(name)
        kind, text = (getattr(told, part, "") for part in ("twisted_type", "twisted_text"))
        if kind:
            self.shown_type = kind
            self.shown_parents = [kind, name, *(base for base in bases if base != kind)]
        if with_text and text and not self.was_raised:
            self.shown_value = text

    def drop_fields(self, fault: BaseException) -> bool:
        """Drop the fields, which cannot be sent; return whether there were any."""
        fields, self.shown_fields = self.shown_fields, None
        if fields:
            unsent(type(self.value), fault)
        return bool(fields)

    def getStateToCopy(self) -> dict[str, Any]:
        """Return the fields that PB gives a failure, in PB's order, then our own.

        With ``is_brief`` those of PB that have no meaning are left out.
        """
        kind = wire_name(self.type) if isinstance(self.type, type) else _text(self.parents[0], "")
        value = self.shown_value
        if value is None:
            value = self.text_within(MOST_TEXT_SHOWN)
        state: dict[str, Any] = {
            "count": 0,
            "type": (self.shown_type or kind).encode("utf-8"),
            "value": surely_text(value),
            "captureVars": False,
            "tb": None,
            "unsafeTracebacks": self.unsafeTracebacks,
            "parents": list(self.parents if self.shown_parents is None else self.shown_parents),
            "frames": [],
            "stack": [],
            "traceback": (
                surely_text(self.getTraceback()[:MOST_TEXT_SHOWN])
                if self.unsafeTracebacks
                else _NO_TRACEBACK
            ),
        }
        if self.is_brief:
            state = {name: state[name] for name in _READ}
            state["parents"] = [name for name in state["parents"] if name not in _ROOTS]
        if self.was_raised:
            state["raised"] = True
        if self.shown_fields:
            state["fields"] = self.shown_fields
        return state


class CopiedFailure(RemoteCopy, Failure):
    """A peer's failure (published). Raised as the registered class of its type, or as RemoteError.

    Attributes:
        type: the wire name of its exception class, a str; for an error that the peer reports
            about a call itself, the library's own name.
        twisted_type: the same, but with the name that Twisted sends.
        is_published: whether a policy with ``published_errors`` received it.
        value: its text.
        parents: the wire names of its class and bases.
        traceback: the peer's traceback, or a text that it is not available.
        fields: the declared fields of a registered error.
        was_raised: whether the remote method itself raised an error that describes a connection or
            a call, so that it is not about this connection.
        method: the name of the remote method that failed, if known.
    """

    traceback: str = _NO_TRACEBACK
    was_raised: bool = False
    method: str = ""
    is_published: bool = False

    @classmethod
    def received(cls, state: object, policy: Policy | None = None) -> CopiedFailure:
        """Return the failure of a state that was received under the given policy.

        Raises:
            MalformedJelly: it is not the state of a failure.
        """
        failure = cls.__new__(cls)
        failure.is_published = policy is not None and policy.published_errors
        failure.setCopyableState(state)
        return failure

    def setCopyableState(self, state: Any) -> None:
        """Set the known fields; a peer of another version may send fewer or more."""
        if not isinstance(state, dict):
            raise MalformedJelly("state of a failure is not a dictionary")
        sent = _text(state.get("type"), "builtins.Exception")
        self.value = _text(state.get("value"), "")
        parents = state.get("parents")
        names = parents if isinstance(parents, list) else []
        self.parents = [_text(name, "") for name in names[:100]] or [sent]
        if names and self.parents[-1] == "builtins.Exception":
            self.parents += _ROOTS
        self.type = sent
        if self.parents[0] == sent and sent in _SENT_FOR.get("".join(self.parents[1:2]), ()):
            # The library's own name comes first, as it does where it is the type.
            self.parents[:2] = self.parents[1], sent
            self.type = self.parents[0]
        told = _error_class(sent) if sent in _CONDITIONS else None
        self.twisted_type = getattr(told, "twisted_type", "") or sent
        self.traceback = _text(state.get("traceback"), _NO_TRACEBACK)
        self.was_raised = state.get("raised") is True
        fields = state.get("fields")
        self.fields = fields if isinstance(fields, dict) else {}
        self.tb = None
        self.frames = []
        self.stack = []

    def cleanFailure(self) -> None:
        """Note that it was called (published): a peer's failure holds no live objects."""
        self.pickled = True

    def __getstate__(self) -> dict[str, object]:
        # A Broker of Twisted passes the failure on, and takes the type as a name if it is bytes.
        state = super().__getstate__()
        return {**state, "type": self.type.encode("utf-8", "backslashreplace")}

    def __setstate__(self, state: dict[str, object] | None) -> None:
        super().__setstate__(state)
        self.type = _text(self.type, "builtins.Exception")

    def as_exception(self) -> BaseException:
        """Return the exception that this failure is raised as.

        It is of the registered class; under a policy with ``published_errors`` it is a RemoteError
        too. It is only a RemoteError if the class is not registered, or if the received state does
        not fit the class. The same holds if the error describes a connection or a call other than
        this one.
        """
        name = self.type
        kind = _octets(self.twisted_type) if self.is_published else name
        remote = errors.RemoteError(kind, self.value, self.traceback)
        remote.type_name = name
        remote.method = self.method
        remote.tells_type = not self.is_published
        cls = _error_class(name)
        if name in _NEVER_REFUSED or (self.was_raised and name in _CONDITIONS):
            cls = None
        traceback = "" if self.traceback == _NO_TRACEBACK else self.traceback
        error = None if cls is None else rebuilt(cls, self.value, self.fields, traceback)
        if error is None:
            return remote
        return as_received(error, remote) if self.is_published else error

    def check(self, *errorTypes: ErrorType) -> ErrorType | None:
        """Return the first of ``errorTypes`` that matches, as ``Failure.check`` does.

        Under a policy with ``published_errors`` RemoteError always matches, since every error that
        a peer has raised is raised as one.
        """
        for error in errorTypes:
            name = qual(error) if isinstance(error, type) else error
            is_remote = self.is_published and name in _REMOTE_ERROR
            if is_remote or super().check(error) is not None:
                return error
        return None

    def getErrorMessage(self) -> str:
        """Return the exception's text."""
        return str(self.value)

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """Return the traceback as the peer sent it."""
        return f"Traceback from remote host -- {self.traceback}"

    def printTraceback(
        self, file: Writable | None = None, elideFrameworkCode: int = 0, detail: str = "default"
    ) -> None:
        """Write the peer's traceback to a file; default: the log's stream."""
        (file or sys.stderr).write(self.getTraceback())

    def text_for_log(self) -> str:
        """Return the peer's traceback, exception name and text, as three printable lines."""
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
    """Let errors of these classes cross under every policy, and be raised as these classes.

    Only their text crosses.
    """
    for cls in classes:
        defaults.declared.errors[qual(cls)] = cls


register_errors(
    errors.Error,
    errors.NoSuchFile,
    errors.FileRefused,
    errors.TooSlow,
    errors.NameLost,
    errors.NameTaken,
    *errors.CONDITIONS,
)
for _cls in (
    errors.LimitExceeded,
    errors.ServerBusy,
    errors.ServerDraining,
    errors.TooLarge,
    errors.TooManyAttempts,
):
    defaults.declared.with_fields.add(_cls)
    defaults.declared.types[_cls] = FieldTypes(_cls)
_CONDITIONS = frozenset(map(qual, errors.CONDITIONS))
# By the library's own name: the types that Twisted sends for the same error.
_SENT_FOR = {
    qual(errors.NoSuchMethod): ("builtins.AttributeError",),
    qual(errors.NoSuchObject): (errors.NoSuchObject.twisted_type,),
    qual(errors.TooManyAttempts): (errors.TooManyAttempts.twisted_type,),
    qual(errors.WrongArguments): (errors.WrongArguments.twisted_type,),
}
_REMOTE_ERROR = (qual(errors.RemoteError), "broker.errors.RemoteError")
_CANCELLED = ("asyncio.exceptions.CancelledError", "twisted.internet.defer.CancelledError")
# Only this end itself can report these: a peer that refuses a call does not send them.
_NEVER_REFUSED = frozenset(map(qual, (errors.DeadReferenceError, errors.PBConnectionLost)))


def shown_error(
    error: object,
    policy: Policy,
    tracebacks: bool = False,
    new_id: Callable[[], str] | None = None,
    side: str = "server",
    as_twisted: bool = False,
    is_brief: bool = False,
) -> tuple[object, str | None]:
    """Return what a peer receives for an exception.

    Args:
        error: the exception, or a Failure of this library or of Twisted.
        policy: says how much is shown.
        tracebacks: whether tracebacks are sent even if the policy does not say so.
        new_id: returns the id for a text that is not shown; default: a random id.
        side: the side whose log has the error under that id: ``server`` or ``client``.
        as_twisted: whether types have the names that Twisted sends.
        is_brief: whether only what a peer with this library reads is sent.

    Returns:
        The object to send as the error, and the id that replaces a text that is not shown. The id
        is None if the text is shown, and for a method that was cancelled.
    """
    failure = Failure.of(error)
    value = failure.value
    if has_jelly_hook(value) or policy.security.isClassAllowed(value.__class__):
        return value, None
    if isinstance(failure, CopyableFailure):
        return failure, None
    shown, error_id = _shown(failure, policy, tracebacks, new_id, side)
    if as_twisted:
        shown.tell_as_twisted(with_text=policy.published_errors)
    shown.is_brief = is_brief
    return shown, error_id


def _shown(
    failure: Failure,
    policy: Policy,
    tracebacks: bool,
    new_id: Callable[[], str] | None,
    side: str,
) -> tuple[CopyableFailure, str | None]:
    shown = CopyableFailure(failure)
    # The lines of a traceback would reveal why a login was refused.
    is_login = failure.check("twisted.cred.error.UnauthorizedLogin")
    shown.unsafeTracebacks = not is_login and (tracebacks or policy.unsafe_tracebacks)
    _add_ours(shown, policy)
    if _pass_on(shown) or policy.show_all_errors:
        return shown, None
    name, *bases = failure.parents
    # The class of a pb.Error need not be registered. It was raised on purpose for the peer, by this
    # side or by a side whose failure is passed on.
    if _error_class(name) is not None or qual(errors.Error) in bases:
        shown.shown_parents = [name, *filter(_is_shown, bases)]
        shown.shown_value = failure.text_within(_MAX_TEXT)
        return shown, None
    shown.shown_fields = None
    shown.shown_type = qual(errors.RemoteError)
    shown.shown_parents = [qual(cls) for cls in errors.RemoteError.__mro__]
    if name in _CANCELLED:
        shown.shown_value = "the method was cancelled"
        return shown, None
    error_id = new_id() if new_id is not None else secrets.token_hex(4)
    shown.shown_value = f"internal error (id {error_id}); the {side}'s log has it under that id"
    return shown, error_id


def _add_ours(shown: CopyableFailure, policy: Policy) -> None:
    """Add what only this library reads: a registered error's fields, and whether it was raised."""
    value, name = shown.value, shown.parents[0] if shown.parents else ""
    if not isinstance(value, BaseException):
        # A peer's failure, which is passed on.
        shown.shown_fields = vars(shown).get("fields")
    elif value.__class__ in defaults.declared.with_fields:
        fields = fields_to_send(value, policy.security, policy.limits)
        if name in _CONDITIONS:
            # A value that is not known is not sent.
            cls = value.__class__
            fields = {each: item for each, item in fields.items() if item != getattr(cls, each)}
        shown.shown_fields = fields
    shown.was_raised = name in _CONDITIONS and was_raised(shown)


def _pass_on(shown: CopyableFailure) -> bool:
    """Pass on a registered error of another peer that is a RemoteError here as that error."""
    cls = _error_class(shown.value.type_name) if type(shown.value) is errors.RemoteError else None
    if cls is None:
        return False
    shown.shown_type = qual(cls)
    shown.shown_parents = [name for name in map(qual, cls.__mro__) if _is_shown(name)]
    shown.shown_value = str(shown.value.value)[:_MAX_TEXT]
    shown.was_raised = True
    return True


def _is_shown(base: str) -> bool:
    """Whether a peer may see a base class; a builtin base lets it trap a class it does not know."""
    return base.startswith("builtins.") or _error_class(base) is not None


def _error_class(name: str) -> type[BaseException] | None:
    found: type[BaseException] | None = defaults.declared.errors.get(name)
    return found


def _octets(name: str) -> bytes:
    return name.encode("utf-8", "backslashreplace")


def _text(value: object, otherwise: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value
    return otherwise if value is None else text_of(value)
