"""PB's anonymous login, for guests."""

from __future__ import annotations

from typing import TypeGuard

from broker.defer import Deferred
from broker.login.context import ClientContext, ServerContext
from broker.login.mechanisms.mechanism import LoginCall, Mechanism, no_login
from cred.credentials import Anonymous, IAnonymous
from cred.error import UnhandledCredentials

__all__ = ["ANONYMOUS"]


class AnonymousLogin(Mechanism[object]):
    """``loginAnonymous(mind)`` returns the avatar; published."""

    name = "anonymous"
    asks_for = "no name"
    calls = (LoginCall("loginAnonymous", 0),)
    checked_as = (IAnonymous,)

    def accepts(self, credentials: object) -> TypeGuard[object]:
        """Return whether they are Anonymous."""
        return bool(IAnonymous.providedBy(credentials))

    def client(self, context: ClientContext, credentials: object, mind: object) -> Deferred[object]:
        """Call ``loginAnonymous``, even if the server does not name it: Twisted has it too."""
        return context.enter("loginAnonymous", mind).addErrback(no_login)

    def server(self, context: ServerContext, mind: object) -> object:
        """Log in a guest, and return the avatar.

        Raises:
            UnhandledCredentials: this server takes no guests.
        """
        # If all errors are shown, the portal raises its own error, as Twisted's does.
        if context.checker_for(IAnonymous) is None and not context.policy.show_all_errors:
            text = "this server takes no guests: log in with a name and a password"
            raise UnhandledCredentials(text)
        return context.admit(Anonymous(), mind)


ANONYMOUS = AnonymousLogin()
