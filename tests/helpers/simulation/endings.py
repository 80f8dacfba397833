"""How calls end: what the history says of the failure of one."""

from __future__ import annotations

from typing import Any

from broker.defer import CancelledError
from broker.errors import (
    BrokenPromise,
    CallTimeout,
    ConfigError,
    DeadReferenceError,
    EncodeError,
    NoSuchMethod,
    NoSuchObject,
    PBConnectionLost,
    ResultLost,
    ServerBusy,
    ServerDraining,
    WrongArguments,
)
from broker.flavors.failures import CopiedFailure
from simulation.values import Refusal

__all__ = ["ending"]

_SAYS_NOT_RUN = (
    BrokenPromise,
    NoSuchMethod,
    NoSuchObject,
    ServerBusy,
    ServerDraining,
    WrongArguments,
)


def ending(failure: Any) -> tuple[str, str]:
    """Return the kind of an end, one of ``rules.OUTCOMES``, and the name of the error."""
    error = failure.as_exception()
    name = failure.type if isinstance(failure.type, str) else failure.type.__name__
    if isinstance(error, Refusal) and name == Refusal.__name__:
        # Raised by an object of this end, which a promise has become.
        return "error", f"{Refusal.__module__}.{name}"
    if isinstance(error, ResultLost):
        return "result lost", name
    if isinstance(error, BrokenPromise) or _is_no_reference(error):
        # One end or the other has found it.
        return "refused", BrokenPromise.__name__
    if isinstance(error, NoSuchMethod | ServerDraining) and not isinstance(failure, CopiedFailure):
        # Of an object of this end; or of a call whose promise was passed.
        return "refused", name
    if isinstance(failure, CopiedFailure):
        if isinstance(error, CallTimeout):
            return "given up", name
        return "refused" if isinstance(error, _SAYS_NOT_RUN) else "error", name
    if isinstance(error, CancelledError | CallTimeout):
        return "given up", name
    if isinstance(error, PBConnectionLost):
        return "may have run" if error.may_have_run else "not run", name
    if isinstance(error, EncodeError | ConfigError | DeadReferenceError) or name == "NotRun":
        return "not run", name
    return "failed", f"{name}: {error}"


def _is_no_reference(error: object) -> bool:
    # The promise was fired before the call on it was made; or it is one of a link.
    return isinstance(error, TypeError) and str(error).endswith("not a reference")
