"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: two calls with the messages of `cred.scram`.

``loginScram(name, client_first)`` returns the server's first message and an object; its
``finish(client_final, mind)`` returns the server's last message and the avatar. Each such object
takes one ``finish``.
"""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

from zope.interface import implementer

from broker.core.calls.dispatch import Route, of_login
from broker.core.principal import OnBehalf
from broker.defer import Deferred
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.login.context import ClientContext, LoginContext, ServerContext
from broker.login.mechanisms.mechanism import (
    LoginCall,
    Mechanism,
    WithPassword,
    answered_only,
    has_password,
    pair_of,
)
from broker.login.results import then
from cred import error as cred_error
from cred.credentials import IScramProof, Scram
from cred.octets import Text
from cred.scram import SCRAM, SCRAM_PLUS, ScramClient, ScramServer
from cred.scram_verifier import ScramVerifier

__all__ = ["SCRAM_SHA_256", "SCRAM_SHA_256_PLUS", "ScramExchange"]

Accepted: TypeAlias = Scram | WithPassword


class ScramLogin(Mechanism[Accepted]):
    """One of the two mechanisms."""

    asks_for = "a user name and password"
    calls = (LoginCall("loginScram", None), LoginCall("finish", 1))
    checked_as = (IScramProof,)

    def __init__(self, name: str):
        self.name = name
        self._is_bound = name == SCRAM_PLUS

    def accepts(self, credentials: object) -> TypeGuard[Accepted]:
        """Return whether they are a user name and a password."""
        if isinstance(credentials, Scram):
            return self._is_bound or not credentials.bound
        return has_password(credentials)

    def client_refusal(
        self, context: LoginContext, credentials: Accepted
    ) -> cred_error.LoginFailed | None:
        """Return an error if it must be bound and there is nothing to bind to, or None."""
        if self._is_bound and context.channel_binding is None:
            return cred_error.LoginFailed(f"{self.name} needs TLS 1.3 at this end: use pbs://")
        return None

    def client(
        self, context: ClientContext, credentials: Accepted, mind: object
    ) -> Deferred[object]:
        """Prove that this side knows the password, and check that the server knows it too."""
        client = ScramClient(
            credentials.username,
            credentials.password,
            binding=context.channel_binding,
            plus=self._is_bound,
        )

        def begun(answer: object) -> Deferred[object]:
            server_first, exchange = pair_of(answer, "SCRAM message", RemoteReference)
            worked = context.in_thread(lambda: client.final(server_first))
            return worked.addCallback(lambda final: proved(exchange, final)).addCallback(finished)

        def proved(exchange: RemoteReference, final: bytes) -> Deferred[object]:
            answer = context.ask(exchange, "finish", final, mind)
            # Before the server has proved that it knows the password.
            if context.is_of_server:
                context.entering(answer, 1)
            return answer

        def finished(answer: object) -> object:
            server_final, avatar = pair_of(answer, "SCRAM message", object)
            client.verify(server_final)
            return avatar

        return context.call("loginScram", self.name, client.first()).addCallback(begun)

    def server_refusal(self, context: LoginContext) -> str | None:
        """Return that there is nothing to bind to, where it is to be bound."""
        if self._is_bound and context.channel_binding is None:
            return f"{self.name} is for connections through TLS 1.3"
        return None

    def server(
        self, context: ServerContext, name: object, client_first: object
    ) -> Deferred[tuple[bytes, ScramExchange]]:
        """Begin an exchange of the mechanism that the client names.

        Returns:
            A Deferred of the first answer, and of the object for the next message of the client.

        Raises:
            LoginFailed: the mechanism is not available here, or the message cannot be parsed.
            UnauthorizedLogin: the user name is not text, or too long.
        """
        text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        mechanism = _BY_NAME.get(text) if isinstance(text, str) else None
        if mechanism is None:
            raise cred_error.LoginFailed(f"SCRAM is done here with {SCRAM} or {SCRAM_PLUS}")
        context.mechanism = mechanism
        mechanism.require(context)
        checker = context.checker_for(IScramProof)
        if checker is None:
            raise cred_error.UnhandledCredentials("this server keeps no SCRAM verifiers")
        server = ScramServer(mechanism.name, client_first, binding=context.channel_binding)
        username = context.name_of(server.username)
        found = context.consult(checker.scramVerifier, username)
        return found.addCallback(
            lambda verifier: (server.first(verifier), ScramExchange(context, server, username))
        )


SCRAM_SHA_256_PLUS = ScramLogin(SCRAM_PLUS)
SCRAM_SHA_256 = ScramLogin(SCRAM)
_BY_NAME = {mechanism.name: mechanism for mechanism in (SCRAM_SHA_256_PLUS, SCRAM_SHA_256)}


@implementer(IScramProof)
class ScramProof:
    """The credentials of a login with a correct proof.

    Attributes:
        username: prepared, and in the type that checkers want.
        verifier: the verifier that the proof was checked with.
    """

    def __init__(self, username: Text, verifier: ScramVerifier):
        self.username = username
        self.verifier = verifier


@of_login
class ScramExchange(Referenceable):
    """The server's side of one exchange, from its first message on; it takes one answer."""

    def __init__(self, context: ServerContext, server: ScramServer, username: Text):
        self._context = context
        self._server: ScramServer | None = server
        self._username = username

    def remote_finish(self, client_final: object, mind: object) -> object:
        """Check the client's proof; return the server's signature, and the avatar."""
        return self._context.step(self._finish, client_final, mind)

    def _finish(self, context: ServerContext, client_final: object, mind: object) -> object:
        server, self._server = self._server, None
        if server is None or server.verifier is None:
            raise cred_error.LoginFailed("this exchange has been answered; begin a new one")
        verifier = server.verifier
        signature = server.final(client_final)
        admitted = context.admit(ScramProof(self._username, verifier), mind)
        return then(admitted, _with_signature, signature)

    def route(self) -> Route:
        """Return how calls are made: only with an answer."""
        return answered_only(super().route())


def _with_signature(given: OnBehalf, signature: bytes) -> OnBehalf:
    return OnBehalf(given.principal, (signature, given.value), given.undo)
