"""PB's published login: an MD5 challenge, for peers that know no other mechanism.

Each challenge takes one answer. The strict policy uses it only with
``Policy(challenge_login=True)``, and only over TLS, the loopback or a UNIX socket.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from zope.interface import implementer

from broker.core.calls.dispatch import Route, of_login
from broker.defer import Deferred
from broker.fixes import fixed_by
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.login.context import ClientContext, LoginContext, ServerContext
from broker.login.mechanisms.mechanism import (
    LoginCall,
    Mechanism,
    WithPassword,
    answered_only,
    has_password,
    no_login,
    pair_of,
)
from cred import error as cred_error
from cred.challenges import challenge, hash_password, respond, verify
from cred.credentials import ICredentials, IUsernameHashedPassword
from cred.octets import Text

__all__ = ["CHALLENGE", "Challenger", "IUsernameMD5Password"]


class IUsernameMD5Password(ICredentials):
    """Credentials of the challenge login: checked against a password or its MD5 digest."""

    def checkPassword(password: Any) -> Any:
        """Return whether the peer knows this password, bytes."""

    def checkMD5Password(password: Any) -> Any:
        """Return whether the peer knows the password with this MD5 digest, bytes."""


class ChallengeLogin(Mechanism[WithPassword]):
    """``login(username)`` returns a challenge, and an object for the answer."""

    name = "challenge"
    asks_for = "a password"
    calls = (LoginCall("login", None), LoginCall("respond", 1))
    checked_as = (IUsernameHashedPassword, IUsernameMD5Password)

    def accepts(self, credentials: object) -> TypeGuard[WithPassword]:
        """Return whether they are a user name and a password."""
        return has_password(credentials)

    def client_refusal(
        self, context: LoginContext, credentials: WithPassword
    ) -> cred_error.LoginFailed | None:
        """Return an error if the policy does not allow it, or not on this connection, or None."""
        if not context.policy.challenge_login:
            before = "this server offers only the old challenge login; allow it with "
            return fixed_by(cred_error.LoginFailed, before, "challenge login")
        if not _is_allowed(context):
            return cred_error.LoginFailed("the challenge login is used over TLS or loopback only")
        return None

    def client(
        self, context: ClientContext, credentials: WithPassword, mind: object
    ) -> Deferred[object]:
        """Ask for a challenge, and answer it if this side's policy allows that.

        The client asks in any case, to tell a server without a login from one with this login only.
        """

        def challenged(offer: object) -> Deferred[object]:
            refusal = self.client_refusal(context, credentials)
            if refusal is not None:
                raise refusal
            token, challenger = pair_of(offer, "challenge", RemoteReference)
            answer = respond(token, credentials.password)
            return context.ask(challenger, "respond", answer, mind)

        asked = context.call("login", context.sent(credentials.username))
        return asked.addErrback(no_login).addCallback(challenged)

    def server_refusal(self, context: LoginContext) -> str | None:
        """Return that the policy does not allow it on this connection, or None."""
        if _is_allowed(context):
            return None
        return (
            "this server does not accept the old challenge login; it would have to be served"
            " with Policy(challenge_login=True), over TLS or the loopback"
        )

    def refusal_error(self, reason: str) -> cred_error.LoginFailed:
        """Return the error that a Twisted client knows."""
        return cred_error.UnauthorizedLogin(reason)

    def server(self, context: ServerContext, username: object) -> tuple[bytes, Challenger]:
        """Return a challenge, and the object for the answer.

        Raises:
            UnauthorizedLogin: this server does not take that login.
        """
        self.require(context)
        token = challenge()
        return token, Challenger(context, context.name_of(username), token)


CHALLENGE = ChallengeLogin()


def _is_allowed(context: LoginContext) -> bool:
    policy = context.policy
    port = context.broker.port
    return policy.challenge_login and (policy.insecure_plaintext or port.is_private)


@of_login
@implementer(IUsernameHashedPassword, IUsernameMD5Password)
class Challenger(Referenceable):
    """One challenge, which takes one answer; also the credentials that a checker checks.

    Attributes:
        username: as the peer gave it.
    """

    def __init__(self, context: ServerContext, username: Text, token: bytes):
        self.username = username
        self._context = context
        self._token: bytes | None = token
        self._answered = b""
        self._response: object = None

    def remote_respond(self, response: object, mind: object) -> object:
        """Take the answer, and return the avatar; a second answer is refused."""
        return self._context.step(self._respond, response, mind)

    def _respond(self, context: ServerContext, response: object, mind: object) -> object:
        if self._token is None:
            raise cred_error.LoginFailed("this challenge has been answered; ask for a new one")
        self._answered, self._token = self._token, None
        self._response = response
        return context.admit(self, mind)

    def route(self) -> Route:
        """Return how calls are made: only with an answer."""
        return answered_only(super().route())

    def checkPassword(self, password: Any) -> bool:
        """Return whether the answer was made with this password; False if it is not text."""
        try:
            hashed = hash_password(password)
        except TypeError:
            return False
        return self.checkMD5Password(hashed)

    def checkMD5Password(self, md5Password: object) -> bool:
        """Return whether the answer was made with the password of this MD5 digest.

        False if the digest is not bytes.
        """
        if not isinstance(md5Password, bytes):
            return False
        try:
            verify(self._answered, self._response, md5Password)
        except cred_error.UnauthorizedLogin:
            return False
        return True
