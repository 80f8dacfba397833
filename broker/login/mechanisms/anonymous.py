"""PB's anonymous login, for guests."""

from __future__ import annotations

from typing import Any, ClassVar

from broker.connection.broker import Broker
from broker.defer import Deferred
from broker.flavors.reference import RemoteReference
from broker.login.mechanisms.mechanism import Mechanism, MechanismContext, OfferContext, no_login
from cred.credentials import Anonymous, IAnonymous
from cred.error import UnhandledCredentials

__all__ = ["ANONYMOUS", "serve"]


class AnonymousLogin(Mechanism):
    """``loginAnonymous(mind)`` returns the avatar; published."""

    name = "anonymous"
    asks_for = "no name"
    mind_arguments: ClassVar[dict[str, int | None]] = {"loginAnonymous": 0}

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether the portal accepts guests."""
        return context.checker_for(IAnonymous) is not None

    def accepts(self, credentials: Any) -> bool:
        """Return whether they are Anonymous."""
        return bool(IAnonymous.providedBy(credentials))

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Call ``loginAnonymous``, even if the server does not name it: Twisted has it too."""
        return root.callRemote("loginAnonymous", mind).addErrback(no_login)


ANONYMOUS = AnonymousLogin()


def serve(context: MechanismContext, mind: Any) -> Deferred[Any]:
    """Log in a guest, and return a Deferred of the avatar.

    Raises:
        UnhandledCredentials: this server takes no guests.
    """
    # If all errors are shown, the portal raises its own error, as Twisted's does.
    if not ANONYMOUS.has_checker(context) and not context.broker.policy.show_all_errors:
        raise UnhandledCredentials("this server takes no guests: log in with a name and a password")
    return context.admit(Anonymous(), mind, ANONYMOUS.name)
