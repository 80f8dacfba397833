"""The errors of calls and connections, by who is at fault and what ends.

::

    jelly.errors:  JellyError
                   ├─ EncodeError ─ CannotJelly (TypeError) · TooLarge (ValueError)
                   ├─ DecodeError ─ MalformedJelly (ValueError) · InsecureJelly†
                   └─ ProtocolError† ─ BananaError† ─ LimitExceeded (ValueError)
    broker.errors: Disconnected: the connection has ended, or could not be made
                   ├─ DeadReferenceError† (a ProtocolError, as published)
                   ├─ PBConnectionLost† (ConnectionError): its ``may_have_run`` tells
                   └─ ConnectError† and DNSLookupError†, below
                   RemoteError† · NoSuchMethod† (AttributeError)
                   WrongArguments (TypeError) · WrongResult (TypeError)
                   CallTimeout (TimeoutError)
                   Error†: raised by applications; its text is sent
                   ├─ NoSuchObject (LookupError) · BrokenPromise
                   ├─ NoSuchFile (FileNotFoundError) · FileRefused (PermissionError)
                   ├─ ServerBusy · ServerDraining · TooManyAttempts
                   ├─ NameLost · NameTaken · TooSlow
                   └─ LoginExpired · ResultLost
                   TLSError (ConnectionError) · ConfigError (ValueError) ─ WrongType (TypeError)
    transports:    ConnectionClosed† ─ ConnectionDone† · ConnectionLost† ─ ConnectionAborted†
                   ConnectError† (ConnectionError) and its kinds, each an OSError
                   ├─ ConnectionRefusedError† · UserError† ─ TimeoutError†
                   ├─ NoRouteError† · TCPTimedOutError† · UnknownHostError†
                   └─ ConnectBindError† · SSLError†
                   DNSLookupError† (OSError) · BindError† ─ CannotListenError†

A ProtocolError ends the connection, except DeadReferenceError. PBConnectionLost ends all pending
calls, and any other error ends one call; an EncodeError is raised before anything is written.
† marks a published name. A leaf also subclasses the builtin error of its kind, so that the natural
``except`` works. Texts name types, sizes, limits and the fix; they never repeat a peer's value.
"""

from __future__ import annotations

import builtins
import re
import reprlib
from typing import Any, cast

from broker.config_error import ConfigError, WrongType
from broker.printable import repr_of
from broker.transport_errors import (
    BindError,
    CannotListenError,
    ConnectBindError,
    ConnectError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    Disconnected,
    DNSLookupError,
    NoRouteError,
    SSLError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
    UserError,
)
from jelly.errors import (
    BananaError,
    CannotJelly,
    DecodeError,
    EncodeError,
    InsecureJelly,
    JellyError,
    LimitExceeded,
    MalformedJelly,
    ProtocolError,
    TooLarge,
)
from jelly.fields import engine_class, fields_of, shape_of
from jelly.registry import defaults

__all__ = [
    "BananaError",
    "BindError",
    "BrokenPromise",
    "CallTimeout",
    "CannotJelly",
    "CannotListenError",
    "ConfigError",
    "ConnectBindError",
    "ConnectError",
    "ConnectionAborted",
    "ConnectionClosed",
    "ConnectionDone",
    "ConnectionLost",
    "ConnectionRefusedError",
    "DNSLookupError",
    "DeadReferenceError",
    "DecodeError",
    "Disconnected",
    "EncodeError",
    "EndOfStream",
    "Error",
    "FileRefused",
    "InsecureJelly",
    "JellyError",
    "LimitExceeded",
    "LoginExpired",
    "MalformedJelly",
    "NameLost",
    "NameTaken",
    "NoRouteError",
    "NoSuchFile",
    "NoSuchMethod",
    "NoSuchObject",
    "PBConnectionLost",
    "ProtocolError",
    "RemoteError",
    "ResultLost",
    "SSLError",
    "ServerBusy",
    "ServerDraining",
    "TCPTimedOutError",
    "TLSError",
    "TimeoutError",
    "TooLarge",
    "TooManyAttempts",
    "TooSlow",
    "UnknownHostError",
    "UserError",
    "WrongArguments",
    "WrongResult",
    "WrongType",
]

# The text of an error that does not say where the log is.
_INTERNAL = re.compile(r"internal error \(id [0-9A-Za-z-]{1,64}\)")
_OWN_NAME = "twisted.spread.pb.RemoteError"
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


class Error(Exception):
    """Base of the errors that an application raises for its peer to see (published).

    The text is sent to the peer, and no traceback is logged, since the method raises it on purpose.
    A class that is registered with ``broker.register`` may declare fields, by annotations; they are
    sent with the text. ``str()`` is the text, or the fields if there is no text.

    Args:
        args: the text.
        fields: values of the declared fields; those with a default may be left out.

    Raises:
        TypeError: a field is not declared, or is missing. If the class is not registered, all
            fields may be left out, and set later.
    """

    def __init__(self, *args: object, **fields: object):
        super().__init__(*args)
        cls = type(self)
        if fields or (cls in defaults.declared.with_fields and cls.__init__ is Error.__init__):
            shape = shape_of(cls)
            for name in fields.keys() - shape.fields:
                raise TypeError(f"{cls.__name__} has no field '{name}'")
            for name in shape.required:
                if name not in fields:
                    raise TypeError(f"{cls.__name__} lacks the field '{name}'")
            for name, value in fields.items():
                setattr(self, name, value)

    def __str__(self) -> str:
        if self.args:
            return super().__str__()
        return ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in fields_of(self).items())


class DeadReferenceError(Disconnected, ProtocolError):
    """The connection of the reference has ended (published)."""


class NoSuchMethod(AttributeError):
    """The object has no remote method of that name (published)."""

    # The type and the text that a Twisted peer sends, if they differ; see ``flavors.failures``.
    # Without annotations, which would be fields of a registered subclass.
    twisted_type = ""
    twisted_text = ""


class NoSuchObject(Error, LookupError):
    """The peer called an object that was never sent to it, or that it has released.

    It is an Error, since PB's "Invalid Object ID" is one.
    """

    twisted_type = "twisted.spread.pb.Error"
    twisted_text = "Invalid Object ID"


class NoSuchFile(Error, FileNotFoundError):
    """A folder that ``broker.Files`` serves has no file of that name."""


class FileRefused(Error, PermissionError):
    """``broker.Files`` does not take a name or a file; the text says why."""


class WrongArguments(TypeError):
    """The arguments do not fit the remote method's signature."""

    twisted_type = "builtins.TypeError"
    twisted_text = ""


class WrongResult(TypeError):
    """A remote method has run, and its result does not have the type of the contract."""


class RemoteError(Exception):
    """The exception that a remote method raised (published).

    It is raised for an exception whose type is not registered here. An exception of a registered
    type is raised as its own class; under the published policy it is a RemoteError as well. Under
    another policy ``str()`` has the type before the text.

    Args:
        remoteType: the wire name of the class, such as ``"builtins.KeyError"``.
        value: the exception's text, as the peer sent it.
        remoteTraceback: the peer's traceback, or the text that it is not available.

    Attributes:
        remoteType: the argument: bytes if the published policy received it, else str.
        type_name: the same as a str; for an error of the call itself, its name in this library.
        value, remoteTraceback: the arguments.
        method: the name of the called method; empty if it is not known.
        tells_type: whether ``str()`` has the type before the text.
    """

    # For an instance that is made without ``__init__``; annotations would be fields.
    remoteType = cast(Any, "")
    value = cast(object, "")
    remoteTraceback = type_name = method = ""
    tells_type = False

    def __init__(self, remoteType: Any, value: object = "", remoteTraceback: str = ""):
        super().__init__(value)
        self.remoteType = remoteType
        self.value = value
        self.remoteTraceback = remoteTraceback
        is_bytes = isinstance(remoteType, bytes)
        self.type_name = remoteType.decode("utf-8", "backslashreplace") if is_bytes else remoteType

    def __str__(self) -> str:
        text = super().__str__()
        if _INTERNAL.fullmatch(text):
            text += "; the log of the other side has it under that id"
        if not self.tells_type or self.type_name == _OWN_NAME:
            return text
        text = f"{self.type_name}: {text}" if text else self.type_name
        # Usually an argument of a wrong type; the text of Python does not name the method.
        is_vague = self.method and self.type_name == "builtins.TypeError"
        return f"{text} (raised by the remote method '{self.method}')" if is_vague else text

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.remoteType, self.value, self.remoteTraceback), vars(self)

    def text_within(self, most: int) -> str:
        """Return the beginning of the text; for `broker.printable`, if the text is long."""
        value = self.value if isinstance(self.value, str) else repr_of(self.value, most + 1)
        is_told = self.tells_type and self.type_name != _OWN_NAME
        # One character more, so that the caller sees that there is more.
        return f"{self.type_name[:most]}: {value[:most]}" if is_told else value[: most + 1]


@engine_class()
class PBConnectionLost(Disconnected, ConnectionError):
    """The connection ended before the call did (published).

    Attributes:
        may_have_run: False if the call was never sent, so that it is safe to repeat it.
        reason: the exception that ended the connection, as the transport reported it.
        limit, most, got: as in a ProtocolError, if a limit of this side ended the connection. They
            are "", None and None in an error that a peer has sent.
        goodbye: the code with which the peer said goodbye, such as ``"draining"``, ``"kicked"`` or
            ``"replaced"``; empty if the connection ended without one.
    """

    # Class attributes, for an error of a peer that is made without ``__init__``.
    may_have_run: bool = True
    reason: object = None
    limit: str = ""
    most: float | None = None
    got: float | None = None
    goodbye: str = ""

    def __init__(
        self,
        message: object = "connection lost",
        *,
        may_have_run: bool = True,
        goodbye: str = "",
    ):
        super().__init__(message)
        self.reason = message
        self.may_have_run = may_have_run
        if not goodbye and isinstance(message, PBConnectionLost):
            goodbye = message.goodbye
        self.goodbye = goodbye
        if isinstance(message, WITH_LIMIT) and message.limit:
            self.limit, self.most, self.got = message.limit, message.most, message.got


class EndOfStream(Exception):
    """A stream has no more items: the result of ``RemoteStream.read``."""


class CallTimeout(builtins.TimeoutError):
    """The call got no answer in time; the remote method may have run."""


class BrokenPromise(Error):
    """The promised call has not returned a reference where one is needed; the call did not run."""


class ServerBusy(Error):
    """The server has too much work; the call did not run.

    Attributes:
        after: seconds until the call may be repeated; 0 if that is not known.
        limit, most, got: as in a LimitExceeded; "", None and None if they are not known.
    """

    after: float = 0.0
    limit: str = ""
    most: int | float | None = None
    got: int | float | None = None


class ServerDraining(Error):
    """The server is shutting down and did not run the call; another server may run it.

    Attributes:
        after: seconds until the server may be back; 0 if that is not known.
        elsewhere: addresses of other servers that may run the call.
    """

    after: float = 0.0
    elsewhere: tuple[str, ...] = ()


class ResultLost(Error):
    """A call that runs at most once has run, and its result cannot be repeated.

    Attributes:
        may_have_run: True.
    """

    may_have_run = True


class TooManyAttempts(Error):
    """Too many failed logins; the text says when to try again.

    Attributes:
        after: seconds until a login may be tried again; 0 if that is not known.
    """

    after: float = 0.0
    twisted_type = "twisted.cred.error.LoginFailed"
    twisted_text = ""


class TooSlow(Error):
    """A subscription of topics has ended, since too many messages waited for its reader."""


class NameTaken(Error):
    """A node of the cluster holds the name already; the text tells its address."""


class NameLost(Error):
    """The node does not hold the name of the called object any more; the call did not run.

    Another node may hold it: ask for a new reference.
    """


class LoginExpired(Error):
    """The credentials of the login are not valid any more; the peer must log in again."""


class TLSError(ConnectionError):
    """The TLS layer refused the peer, or the peer refused this side; the text says why.

    Attributes:
        limit: the name of the setting that the peer exceeded, if any.
        most, got: as in a ProtocolError.
        setting, fix, parts: how to fix it, see ``broker.fixes``; empty if the text says all.
    """

    limit = ""
    most = cast("float | None", None)
    got = cast("float | None", None)
    setting = ""
    fix = ""
    parts = ("", "")


# Errors that this library reports about a call, an object or the connection. A method that raises
# one got it from another connection.
CONDITIONS: tuple[type[Exception], ...] = (
    BrokenPromise,
    CallTimeout,
    CannotJelly,
    DeadReferenceError,
    InsecureJelly,
    LimitExceeded,
    LoginExpired,
    MalformedJelly,
    NoSuchMethod,
    NoSuchObject,
    PBConnectionLost,
    ProtocolError,
    ResultLost,
    ServerBusy,
    ServerDraining,
    TooLarge,
    TooManyAttempts,
    WrongArguments,
)


# Errors that end a connection and may have the attributes of a limit.
WITH_LIMIT = (PBConnectionLost, ProtocolError, TLSError, ConnectionLost)
