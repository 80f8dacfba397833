"""The password as it is, where nobody can listen in: for stores that keep Argon2id hashes."""

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
        """Return whether passwords are checked here."""
        return context.checker_for(IUsernamePassword) is not None

    def accepts(self, credentials: Any) -> bool:
        """Take whatever has a user name and a password, and may show it."""
        return has_password(credentials)

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Send both, in the type that the policy has."""
        name, password = sent(broker, credentials.username), sent(broker, credentials.password)
        return root.callRemote("loginPassword", name, password, mind)


PASSWORD = Password()


def serve(context: MechanismContext, username: Any, password: Any, mind: Any) -> Deferred[Any]:
    """Log in with a password, and return a Deferred of the avatar.

    Raises:
        UnauthorizedLogin: the user name or password is none, or too long.
        LoginFailed: passwords are not taken here.
    """
    PASSWORD.require(context)
    # First, so that a password that is none counts for the account.
    name = context.name_of(username)
    return context.admit(UsernamePassword(name, _secret_of(context, password)), mind, PASSWORD.name)


def _secret_of(context: MechanismContext, password: Any) -> Text:
    """Return a password of the peer's as the policy gives it to checkers.

    Raises:
        UnauthorizedLogin: it is none, or too long.
    """
    try:
        octets = to_octets(password)
    except TypeError:
        octets = None
    if octets is None or len(octets) > LONGEST_PASSWORD:
        raise cred_error.wrong_login("no possible password")
    return octets if context.broker.policy.text_user_names else as_given(password)
