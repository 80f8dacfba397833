"""Login with the password in clear, over private connections: for stores with Argon2id hashes."""

from __future__ import annotations

from typing import Any, ClassVar

from broker.connection.broker import Broker
from broker.defer import Deferred
from broker.flavors.reference import RemoteReference
from broker.login.mechanisms.mechanism import (
    Mechanism,
    MechanismContext,
    OfferContext,
    has_password,
    sent,
)
from cred import error as cred_error
from cred.credentials import IUsernamePassword, UsernamePassword
from cred.octets import Text, as_given, to_octets
from cred.saslprep import LONGEST_PASSWORD

__all__ = ["PASSWORD", "serve"]


class Password(Mechanism):
    """``loginPassword(username, password, mind)`` returns the avatar."""

    name = "password"
    asks_for = "a password"
    mind_arguments: ClassVar[dict[str, int | None]] = {"loginPassword": 2}
    is_for_private = True

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether the portal checks passwords."""
        return context.checker_for(IUsernamePassword) is not None

    def accepts(self, credentials: Any) -> bool:
        """Return whether they are a user name and a password that may be sent."""
        return has_password(credentials)

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Send both, in the type that the policy requires."""
        name, password = sent(broker, credentials.username), sent(broker, credentials.password)
        return root.callRemote("loginPassword", name, password, mind)


PASSWORD = Password()


def serve(context: MechanismContext, username: Any, password: Any, mind: Any) -> Deferred[Any]:
    """Log in with a password, and return a Deferred of the avatar.

    Raises:
        UnauthorizedLogin: the user name or password is not text, or too long.
        LoginFailed: passwords are not taken here.
    """
    PASSWORD.require(context)
    # The name first, so that a malformed password counts for the account.
    name = context.name_of(username)
    return context.admit(UsernamePassword(name, _secret_of(context, password)), mind, PASSWORD.name)


def _secret_of(context: MechanismContext, password: Any) -> Text:
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
    return octets if context.broker.policy.text_user_names else as_given(password)
