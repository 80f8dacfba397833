"""Login with a bearer token, such as a JWT: any client that has it can log in until it expires."""

from __future__ import annotations

from typing import TypeGuard

from broker.defer import Deferred
from broker.login.context import ClientContext, ServerContext
from broker.login.mechanisms.mechanism import LoginCall, Mechanism
from cred import error as cred_error
from cred.credentials import IBearerToken, Token
from cred.tokens import LONGEST_TOKEN

__all__ = ["TOKEN"]


class TokenLogin(Mechanism[Token]):
    """``loginToken(token, mind)`` returns the avatar."""

    name = "token"
    asks_for = "a token"
    calls = (LoginCall("loginToken", 1),)
    checked_as = (IBearerToken,)
    is_for_private = True

    def accepts(self, credentials: object) -> TypeGuard[Token]:
        """Return whether they are a token."""
        return bool(IBearerToken.providedBy(credentials))

    def client(self, context: ClientContext, credentials: Token, mind: object) -> Deferred[object]:
        """Send the token."""
        return context.enter("loginToken", credentials.token, mind)

    def server(self, context: ServerContext, token: object, mind: object) -> object:
        """Log in with a token, and return the avatar.

        Raises:
            UnauthorizedLogin: it is not text, or too long.
            LoginFailed: tokens are not taken here.
        """
        self.require(context)
        if isinstance(token, bytes):
            token = token.decode("ascii", "replace")
        if not isinstance(token, str):
            raise cred_error.UnauthorizedLogin(f"a token is text, not {type(token).__name__}")
        if len(token) > LONGEST_TOKEN:
            raise cred_error.UnauthorizedLogin(f"token of {len(token)} bytes, of {LONGEST_TOKEN}")
        return context.admit(Token(token), mind)


TOKEN = TokenLogin()
