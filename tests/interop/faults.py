"""The errors that both programs raise on purpose, and the description of a received one."""

from __future__ import annotations

from describe import text
from world import cred_error, jelly, pb, register_error

__all__ = ["CLASSES", "Refused", "dead", "told", "trapped"]


@register_error
class Refused(pb.Error):
    """An error of the application, known to both programs."""


# From the special to the general: an errback traps the first that fits.
CLASSES = {
    "Refused": Refused,
    "pb.Error": pb.Error,
    "NoSuchMethod": pb.NoSuchMethod,
    "DeadReferenceError": pb.DeadReferenceError,
    "PBConnectionLost": pb.PBConnectionLost,
    "ProtocolError": pb.ProtocolError,
    "InsecureJelly": jelly.InsecureJelly,
    "UnauthorizedLogin": cred_error.UnauthorizedLogin,
    "UnhandledCredentials": cred_error.UnhandledCredentials,
    "LoginDenied": cred_error.LoginDenied,
    "ValueError": ValueError,
    "KeyError": KeyError,
    "ZeroDivisionError": ZeroDivisionError,
    "AttributeError": AttributeError,
    "TypeError": TypeError,
    "Exception": Exception,
}


def trapped(failure):
    """Return the name of the first class that the failure is trapped by."""
    classes = list(CLASSES.values())
    found = failure.check(*classes)
    return None if found is None else list(CLASSES)[classes.index(found)]


def told(failure):
    """Return what an errback learns: the class that traps it, the type's name, the text."""
    kind = failure.type if isinstance(failure.type, (str, bytes)) else failure.type.__name__
    value = failure.value if isinstance(failure.value, (str, bytes)) else str(failure.value)
    return [trapped(failure), text(kind), text(value)]


def dead(reference):
    """Return the name of the error that a call on a reference of an ended connection raises."""
    try:
        reference.callRemote("anything")
    except pb.DeadReferenceError:
        return "DeadReferenceError"
    return None
