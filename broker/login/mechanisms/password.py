"""Login with the password in clear, over private connections: for stores with Argon2id hashes."""

from __future__ import annotations

from typing import TypeGuard

from broker.defer import Deferred
from broker.login.context import ClientContext, ServerContext
from broker.login.mechanisms.mechanism import LoginCall, Mechanism, WithPassword, has_password
from cred import error as cred_error
from cred.credentials import IUsernamePassword, UsernamePassword
from cred.octets import Text, as_given, to_octets
from cred.saslprep import LONGEST_PASSWORD

__all__ = ["PASSWORD", "secret_of"]


class Password(Mechanism[WithPassword]):
    """``loginPassword(username, password, mind)`` returns the avatar."""

    name = "password"
    asks_for = "a password"
    calls = (LoginCall("loginPassword", 2),)
    checked_as = (IUsernamePassword,)
    is_for_private = True

    def accepts(self, credentials: object) -> TypeGuard[WithPassword]:
        """Return whether they are a user name and a password that may be sent."""
        return has_password(credentials)

    def client(
        self, context: ClientContext, credentials: WithPassword, mind: object
    ) -> Deferred[object]:
        """Send both, in the type that the policy requires."""
        name, password = context.sent(credentials.username), context.sent(credentials.password)
        return context.enter("loginPassword", name, password, mind)

    def server(
        self, context: ServerContext, username: object, password: object, mind: object
    ) -> object:
        """Log in with a password, and return the avatar.

        Raises:
            UnauthorizedLogin: the user name or password is not text, or too long.
            LoginFailed: passwords are not taken here.
        """
        self.require(context)
        # The name first, so that a malformed password counts for the account.
        name = context.name_of(username)
        secret = secret_of(password, context.policy.text_user_names)
        return context.admit(UsernamePassword(name, secret), mind)


PASSWORD = Password()


def secret_of(password: object, as_bytes: bool) -> Text:
    """Return a password that the peer sent, in the type that the policy gives to checkers.

    Raises:
        UnauthorizedLogin: it is not text, or too long.
    """
    try:
        octets = to_octets(password)
    except TypeError:
        octets = None
    if octets is None or len(octets) > LONGEST_PASSWORD:
        raise cred_error.wrong_login("no possible password")
    return octets if as_bytes else as_given(password)
