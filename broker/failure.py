"""Failure: an exception kept as a value, with the names that its class has on the wire.

A class that Twisted has too has two dotted names: its name here, and its name in Twisted.
``PUBLISHED_NAMES`` maps the first to the second; `qual` applies it, and `Failure.parents` and
`Failure.check` use `qual`. So an exception matches by its class here, by Twisted's class, and by
both names, whichever of the two classes was raised.

Failures are made on hot paths: a Failure keeps the exception and its traceback, and computes
frames, parents and texts only when they are needed.

A traceback holds the frames that its exception has passed, with their variables. A variable that
leads back to the exception (its Failure, a Deferred that failed with it) makes a cycle, which only
the garbage collector frees. So code that raises the exception of a Failure deletes such variables.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Generator
from functools import cache, cached_property
from io import StringIO
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias, TypeVar

from broker.twisted_bases import subclass_of_twisted

if TYPE_CHECKING:
    from broker.defer.unhandled import Together

__all__ = [
    "PUBLISHED_NAMES",
    "WIRE_NAME",
    "ErrorType",
    "Failure",
    "NoCurrentExceptionError",
    "Writable",
    "qual",
    "wire_name",
]

_Variables: TypeAlias = list[tuple[str, object]]
# A frame as published: function, file, line, and the captured (name, value) pairs.
Frame: TypeAlias = tuple[str, str, int, _Variables, _Variables]


def _named(ours: str, published: str, names: str) -> dict[str, str]:
    return {f"{ours}.{name}": f"{published}.{name}" for name in names.split()}


PUBLISHED_NAMES: dict[str, str] = {
    "broker.errors.NoSuchMethod": "twisted.spread.flavors.NoSuchMethod",
    "jelly.errors.ProtocolError": "twisted.spread.pb.ProtocolError",
    "jelly.errors.BananaError": "twisted.spread.banana.BananaError",
    "jelly.errors.InsecureJelly": "twisted.spread.jelly.InsecureJelly",
    **_named(
        "broker.errors",
        "twisted.spread.pb",
        "DeadReferenceError Error PBConnectionLost RemoteError",
    ),
    **_named(
        "broker.errors",
        "twisted.internet.error",
        "ConnectionClosed ConnectionDone ConnectionLost ConnectionAborted ConnectError"
        " ConnectionRefusedError UserError TimeoutError DNSLookupError BindError CannotListenError"
        " ConnectBindError NoRouteError SSLError TCPTimedOutError UnknownHostError",
    ),
    **_named(
        "broker.reactor.error",
        "twisted.internet.error",
        "AlreadyCalled AlreadyCancelled BadFileError CertificateError ConnectingCancelledError"
        " NotConnectingError NotListeningError ReactorAlreadyRunning ReactorNotRestartable"
        " ReactorNotRunning ServiceNameUnknownError ProcessDone ProcessTerminated"
        " ProcessExitedAlready NoProtocol",
    ),
    **_named(
        "cred.error",
        "twisted.cred.error",
        "Unauthorized LoginFailed UnauthorizedLogin UnhandledCredentials LoginDenied",
    ),
    **_named(
        "broker.defer",
        "twisted.internet.defer",
        "CancelledError AlreadyCalledError TimeoutError FirstError FailureGroup"
        " NotACoroutineError QueueOverflow QueueUnderflow",
    ),
    **_named("broker.flavors.failures", "twisted.spread.pb", "CopyableFailure CopiedFailure"),
    **_named("broker.failure", "twisted.python.failure", "Failure NoCurrentExceptionError"),
}
"""The dotted name of a published class here, and its name in Twisted."""

# The most characters of the text of an exception.
_MOST_TEXT = 64 * 1024

WIRE_NAME: Final = "_broker_wire_name"
"""The attribute of a class with the name that it was registered under."""


def qual(cls: type[object]) -> str:
    """Return the dotted name of `cls`, its name on the wire if it is not registered under another.

    It is ``module.name``, or the published name if the class is one of ``PUBLISHED_NAMES``.
    """
    name = f"{cls.__module__}.{cls.__name__}"
    return PUBLISHED_NAMES.get(name, name)


def wire_name(cls: type[object]) -> str:
    """Return the name that `cls` has on the wire: the one it was registered under, else `qual`."""
    given: str | None = vars(cls).get(WIRE_NAME)
    return qual(cls) if given is None else given


class NoCurrentExceptionError(Exception):
    """A Failure was made without an exception while no exception is being handled (published)."""


Yielded = TypeVar("Yielded")
# An exception class, or its dotted name, here or in Twisted.
ErrorType = TypeVar("ErrorType", bound=type[object] | str)


class Writable(Protocol):
    """A file that takes text."""

    def write(self, text: str, /) -> object:
        """Write a text."""


class _Raisable(BaseException):
    """The first base of Failure; see `subclass_of_twisted`."""


@subclass_of_twisted("twisted.python.failure.Failure")
class Failure(_Raisable):
    """An exception as a value (published).

    Without arguments it keeps the exception being handled. `exc_value` may also be another
    Failure, whose contents are copied, or any object. With `captureVars` the local and global
    variables of each frame are kept when `frames` is first read, for `printDetailedTraceback`;
    this is slow and keeps all these objects alive.

    Attributes:
        value: the exception.
        type: its class.
        tb: its traceback, or None.
        captureVars: whether variables are kept.
        pickled: True after `cleanFailure` or pickling, which drop the live objects.

    Raises:
        NoCurrentExceptionError: no argument, and no exception is being handled.
    """

    captureVars: bool = False
    pickled: bool = False
    # A `broker.defer.unhandled.Together` if failures of one cause are reported together.
    together: Together | None = None
    value: Any
    type: Any
    tb: TracebackType | None

    def __init__(
        self,
        exc_value: object = None,
        exc_type: object = None,
        exc_tb: TracebackType | None = None,
        captureVars: bool = False,
    ):
        if exc_value is None:
            exc_value = sys.exc_info()[1]
            exc_type = exc_tb = None
            if exc_value is None:
                raise NoCurrentExceptionError("no exception is being handled")
        if isinstance(exc_value, Failure):
            self.__dict__.update(exc_value.__dict__)
            return
        self.value = exc_value
        self.type = exc_type or exc_value.__class__
        self.tb = exc_tb or getattr(exc_value, "__traceback__", None)
        # Always in the instance dict, which Twisted's Failure copies from a raised one.
        self.captureVars = bool(captureVars)

    @classmethod
    def of(cls, thing: object) -> Failure:
        """Return `thing` as a Failure of this class.

        A Failure is returned unchanged, and an exception is wrapped. A Failure of Twisted is
        converted: it keeps its value, type, traceback and parents, with published names for classes
        of this library.
        """
        if isinstance(thing, Failure):
            return thing
        twisted = sys.modules.get("twisted.python.failure")
        if twisted is None or not isinstance(thing, twisted.Failure):
            return cls(thing)
        failure = cls(thing.value, thing.type, thing.tb)
        failure.tb = thing.tb
        failure.parents = [PUBLISHED_NAMES.get(name, name) for name in thing.parents]
        return failure

    # Both are cached in the instance's dict, so that the state of a pickle or of a peer replaces
    # them.

    @cached_property
    def parents(self) -> list[str]:
        """The wire names of the class and its bases, in method resolution order.

        Each name is there once, although a class may have Twisted's class of the same name as a
        base.
        """
        if isinstance(self.type, type):
            return list(dict.fromkeys(wire_name(base) for base in self.type.__mro__))
        return [self.type]

    @cached_property
    def frames(self) -> list[Frame]:
        """The frames of the traceback, outermost first."""
        frames: list[Frame] = []
        tb = self.tb
        while tb is not None:
            code = tb.tb_frame.f_code
            local, shared = _variables(tb) if self.captureVars else ([], [])
            frames.append((code.co_name, code.co_filename, tb.tb_lineno, local, shared))
            tb = tb.tb_next
        return frames

    @cached_property
    def stack(self) -> list[Frame]:
        """Always empty (published)."""
        return []

    def as_exception(self) -> BaseException:
        """Return the exception to raise for this failure, with the kept traceback.

        All code that raises a Failure (`raiseException`, `trap`, an ``await``) raises this. If the
        value is not an exception, it is the Failure itself.
        """
        value = self.value
        return value.with_traceback(self.tb) if isinstance(value, BaseException) else self

    def raiseException(self) -> NoReturn:
        """Raise the exception."""
        error = self.as_exception()
        try:
            raise error
        finally:
            del error, self

    def throwExceptionIntoGenerator(self, g: Generator[Yielded, Any, object]) -> Yielded:
        """Throw the exception into the generator `g`, and return what it yields next."""
        error = self.as_exception()
        try:
            return g.throw(error)
        finally:
            del error, self

    def check(self, *errorTypes: ErrorType) -> ErrorType | None:
        """Return the first of `errorTypes` that the exception is an instance of, or None.

        Each is an exception class, or its dotted name, here or in Twisted.
        """
        for error in errorTypes:
            if isinstance(error, type):
                if issubclass(error, BaseException) and isinstance(self.value, error):
                    return error
                name = wire_name(error)
            else:
                name = PUBLISHED_NAMES.get(error, error)
            if name in self.parents:
                return error
        return None

    def trap(self, *errorTypes: ErrorType) -> ErrorType:
        """Like `check`, but raise the exception instead of returning None."""
        error = self.check(*errorTypes)
        if error is None:
            try:
                self.raiseException()
            finally:
                del self
        return error

    def getErrorMessage(self) -> str:
        """Return the exception's text.

        It is ``str(value)``, or only the first 64 KiB if the exception is large as a tree. A text
        that is the only argument of the exception is always complete.
        """
        if isinstance(self.value, Failure):
            return self.value.getErrorMessage()
        return _text(self.value)

    def text_within(self, most: int) -> str:
        """Return the beginning of `getErrorMessage`, in time proportional to its length."""
        return _shown().text_of_value(self.value, most)  # type: ignore[no-any-return]

    @staticmethod
    def prepare_text() -> None:
        """Load the modules of `text_for_log`: at interpreter exit nothing can be loaded."""
        _shown()

    def text_for_log(self) -> str:
        """Return `getTraceback`, printable and at most 3.4 kB, in several lines."""
        frames = [frame[:3] for frame in self.frames[-_shown().MOST_FRAMES - 1 :]]
        return _shown().failure_lines(self._type_name(), self.text_within(1001), frames)  # type: ignore[no-any-return]

    def getTracebackObject(self) -> TracebackType | None:
        """Return the traceback, or None if there was no traceback or it was dropped."""
        return self.tb

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """Return the text that `printTraceback` prints."""
        out = StringIO()
        self.printTraceback(out, elideFrameworkCode, detail)
        return out.getvalue()

    def getBriefTraceback(self) -> str:
        """Return the text that `printBriefTraceback` prints."""
        return self.getTraceback(detail="brief")

    def printTraceback(
        self,
        file: Writable | None = None,
        elideFrameworkCode: int = 0,
        detail: str = "default",
    ) -> None:
        """Write the traceback to `file`, by default to standard error.

        `detail` is ``"brief"`` (a line for each frame), ``"default"`` (as Python prints it) or
        ``"verbose"`` (with the variables, if they were captured). `elideFrameworkCode` does
        nothing.

        Raises:
            ValueError: another `detail`.
        """
        if detail not in ("brief", "default", "verbose"):
            raise ValueError(f"detail is brief, default or verbose, not {detail!r}")
        write = (sys.stderr if file is None else file).write
        name, text = self._type_name(), _text(self.value)
        if detail == "brief":
            head = "Traceback" if self.frames else "Traceback (failure with no frames)"
            write(f"{head}: {_text(self.type)}: {text}\n")
        elif detail == "verbose":
            write(f"*--- Failure{' (pickled)' if self.pickled else ''} ---\n")
        else:
            write("Traceback (most recent call last):\n")
        for frame in self.frames:
            write(_shown().format_frame(frame, detail))
        if detail != "brief":
            if detail == "verbose" and not self.captureVars:
                write(" [no variables: they are captured with captureVars=True]\n")
            write(f"{'' if self.frames else 'Failure: '}{name}: {text}\n")
        if isinstance(self.value, Failure):
            write(" (chained Failure)\n")
            self.value.printTraceback(file, elideFrameworkCode, detail)
        if detail == "verbose":
            write("*--- End of Failure ---\n")

    def printBriefTraceback(
        self, file: Writable | None = None, elideFrameworkCode: int = 0
    ) -> None:
        """Write the traceback with one line for each frame."""
        self.printTraceback(file, elideFrameworkCode, detail="brief")

    def printDetailedTraceback(
        self, file: Writable | None = None, elideFrameworkCode: int = 0
    ) -> None:
        """Write the traceback with the variables of each frame, if they were captured."""
        self.printTraceback(file, elideFrameworkCode, detail="verbose")

    def cleanFailure(self) -> None:
        """Drop the traceback and all live objects; keep names, lines and texts.

        The exception's own ``__traceback__`` is dropped too.
        """
        self.__dict__.update(self.__getstate__())
        if isinstance(self.value, BaseException):
            self.value.__traceback__ = None

    def __getstate__(self) -> dict[str, object]:
        frames = [
            (name, file, line, _shown().representations(local), _shown().representations(shared))
            for name, file, line, local, shared in self.frames
        ]
        state = {"parents": self.parents, "frames": frames, "stack": [], "tb": None}
        state = {**self.__dict__, **state, "pickled": True}
        state.pop("together", None)
        return state

    # Not inherited from Twisted's Failure, which keeps its state under other names.
    __setstate__ = BaseException.__setstate__

    def __reduce__(self) -> tuple[object, ...]:
        return copyreg.__newobj__, (self.__class__,), self.__getstate__()  # type: ignore[attr-defined]

    def _type_name(self) -> str:
        return _own_name(self.type) if isinstance(self.type, type) else _text(self.type)

    def __repr__(self) -> str:
        text = _shown().printable(self.text_within(1001), 1000, is_ascii=False)
        return f"<{_own_name(self.__class__)} {self._type_name()}: {text}>"

    def __str__(self) -> str:
        return f"[Failure instance: {self.getBriefTraceback()}]"


def _own_name(cls: type[object]) -> str:
    """Return the real dotted name of `cls`, for people, not for peers."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _text(value: object) -> str:
    """Return ``str(value)``, bounded; see `Failure.getErrorMessage`."""
    args = value.args if isinstance(value, BaseException) else (value,)
    only = len(args[0]) if len(args) == 1 and isinstance(args[0], str) else 0
    return _shown().text_of_value(value, only + _MOST_TEXT)  # type: ignore[no-any-return]


@cache
def _shown() -> ModuleType:
    """Return `broker.traces`; imported late, since it loads jelly, which cred does not need."""
    from broker import traces

    return traces


def _variables(tb: TracebackType) -> tuple[_Variables, _Variables]:
    frame = tb.tb_frame
    local, shared = dict(frame.f_locals), dict(frame.f_globals)
    if frame.f_locals is frame.f_globals:
        shared = {}
    local.pop("__builtins__", None)
    shared.pop("__builtins__", None)
    return list(local.items()), list(shared.items())
