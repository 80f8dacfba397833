"""Login with a bearer token, such as a JWT: any client that has it can log in until it expires."""

from __future__ import annotations

from typing import Any, ClassVar

from broker.connection.broker import Broker
from broker.defer import Deferred
from broker.flavors.reference import RemoteReference
from broker.login.mechanisms.mechanism import Mechanism, MechanismContext, OfferContext
from cred import error as cred_error
from cred.credentials import IBearerToken, Token
from cred.tokens import LONGEST_TOKEN

__all__ = ["TOKEN", "serve"]


class TokenLogin(Mechanism):
    """``loginToken(token, mind)`` returns the avatar."""

    name = "token"
    asks_for = "a token"
    mind_arguments: ClassVar[dict[str, int | None]] = {"loginToken": 1}
    is_for_private = True

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether the portal checks tokens."""
        return context.checker_for(IBearerToken) is not None

    def accepts(self, credentials: Any) -> bool:
        """Return whether they are a token."""
        return bool(IBearerToken.providedBy(credentials))

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Send the token."""
        return root.callRemote("loginToken", credentials.token, mind)


TOKEN = TokenLogin()


def serve(context: MechanismContext, token: Any, mind: Any) -> Deferred[Any]:
    """Log in with a token, and return a Deferred of the avatar.

    Raises:
        UnauthorizedLogin: it is not text, or too long.
        LoginFailed: tokens are not taken here.
    """
    TOKEN.require(context)
    if isinstance(token, bytes):
        token = token.decode("ascii", "replace")
    if not isinstance(token, str):
        raise cred_error.UnauthorizedLogin(f"a token is text, not {type(token).__name__}")
    if len(token) > LONGEST_TOKEN:
        raise cred_error.UnauthorizedLogin(f"token of {len(token)} bytes, of {LONGEST_TOKEN}")
    return context.admit(Token(token), mind, TOKEN.name)
