"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: two calls with the messages of `cred.scram`.

``loginScram(name, client_first)`` returns the server's first message and an object; its
``finish(client_final, mind)`` returns the server's last message and the avatar. Each such object
takes one ``finish``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from zope.interface import implementer

from broker.background import run_in_thread
from broker.connection.broker import Broker
from broker.core.calls.dispatch import Route
from broker.core.principal import OnBehalf
from broker.defer import Deferred, maybeDeferred
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.login.mechanisms.mechanism import (
    Mechanism,
    MechanismContext,
    OfferContext,
    answered_only,
    has_password,
    pair_of,
)
from broker.net.scheduler import ImmediateScheduler
from cred import error as cred_error
from cred.credentials import IScramProof, Scram
from cred.octets import Text
from cred.scram import SCRAM, SCRAM_PLUS, ScramClient, ScramServer
from cred.scram_verifier import ScramVerifier

__all__ = ["SCRAM_SHA_256", "SCRAM_SHA_256_PLUS", "ScramExchange", "serve"]


class ScramLogin(Mechanism):
    """One of the two mechanisms."""

    asks_for = "a user name and password"
    mind_arguments: ClassVar[dict[str, int | None]] = {"loginScram": None, "finish": 1}

    def __init__(self, name: str):
        self.name = name
        self._is_bound = name == SCRAM_PLUS

    def server_refusal(self, context: OfferContext) -> str | None:
        """Return that there is nothing to bind to, where it is to be bound."""
        if self._is_bound and context.broker.port.channel_binding() is None:
            return f"{self.name} is for connections through TLS 1.3"
        return None

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether the portal has a checker with SCRAM verifiers."""
        return context.checker_for(IScramProof) is not None

    def accepts(self, credentials: Any) -> bool:
        """Return whether they are a user name and a password."""
        if isinstance(credentials, Scram):
            return self._is_bound or not credentials.bound
        return has_password(credentials)

    def client_refusal(self, broker: Broker, credentials: Any) -> cred_error.LoginFailed | None:
        """Return an error if it must be bound and there is nothing to bind to, or None."""
        if self._is_bound and broker.port.channel_binding() is None:
            return cred_error.LoginFailed(f"{self.name} needs TLS 1.3 at this end: use pbs://")
        return None

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Prove that this side knows the password, and check that the server knows it too."""
        client = ScramClient(
            credentials.username,
            credentials.password,
            binding=broker.port.channel_binding(),
            plus=self._is_bound,
        )

        def begun(answer: Any) -> Any:
            server_first, exchange = pair_of(answer, "SCRAM message", RemoteReference)
            worked = _in_thread(broker, lambda: client.final(server_first))
            worked.addCallback(lambda final: exchange.callRemote("finish", final, mind))
            return worked.addCallback(finished)

        def finished(answer: Any) -> Any:
            server_final, avatar = pair_of(answer, "SCRAM message")
            client.verify(server_final)
            return avatar

        return root.callRemote("loginScram", self.name, client.first()).addCallback(begun)


SCRAM_SHA_256_PLUS = ScramLogin(SCRAM_PLUS)
SCRAM_SHA_256 = ScramLogin(SCRAM)
_BY_NAME = {mechanism.name: mechanism for mechanism in (SCRAM_SHA_256_PLUS, SCRAM_SHA_256)}


def serve(
    context: MechanismContext, name: Any, client_first: Any
) -> Deferred[tuple[bytes, ScramExchange]]:
    """Begin an exchange; return a Deferred of the first message and a ScramExchange.

    Raises:
        LoginFailed: the mechanism is not available here, or the message cannot be parsed.
        UnauthorizedLogin: the user name is not text, or too long.
    """
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    mechanism = _BY_NAME.get(text) if isinstance(text, str) else None
    if mechanism is None:
        raise cred_error.LoginFailed(f"SCRAM is done here with {SCRAM} or {SCRAM_PLUS}")
    context.mechanism = mechanism.name
    mechanism.require(context)
    checker = context.checker_for(IScramProof)
    if checker is None:
        raise cred_error.UnhandledCredentials("this server keeps no SCRAM verifiers")
    server = ScramServer(
        mechanism.name, client_first, binding=context.broker.port.channel_binding()
    )
    username = context.name_of(server.username)
    found = context.consult(checker.scramVerifier, username)
    return found.addCallback(
        lambda verifier: (
            server.first(verifier),
            ScramExchange(context, server, username, mechanism.name),
        )
    )


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


class ScramExchange(Referenceable):
    """The server's side of one exchange, from its first message on; it takes one answer."""

    def __init__(
        self, context: MechanismContext, server: ScramServer, username: Text, mechanism: str
    ):
        self._context = context
        self._server: ScramServer | None = server
        self._username = username
        self._mechanism = mechanism

    def remote_finish(self, client_final: Any, mind: Any) -> Deferred[OnBehalf]:
        """Check the client's proof; return the server's signature, and the avatar."""
        return self._context.step(self._finish, client_final, mind)

    def _finish(self, client_final: Any, mind: Any) -> Deferred[OnBehalf]:
        server, self._server = self._server, None
        if server is None or server.verifier is None:
            raise cred_error.LoginFailed("this exchange has been answered; begin a new one")
        verifier = server.verifier
        signature = server.final(client_final)
        proof = ScramProof(self._username, verifier)
        admitted = self._context.admit(proof, mind, self._mechanism)
        return admitted.addCallback(
            lambda given: OnBehalf(given.principal, (signature, given.value), given.undo)
        )

    def route(self) -> Route:
        """Return how calls are made: only with an answer."""
        return answered_only(super().route())


def _in_thread(broker: Broker, function: Callable[[], Any]) -> Deferred[Any]:
    """Call a function that takes long; return a Deferred of its result.

    It runs in a thread of its own if the connection has a loop, which it would block.
    """
    scheduler = broker.port.scheduler
    if isinstance(scheduler, ImmediateScheduler):
        return maybeDeferred(function)
    # Without a canceller: one that has been cancelled takes the late outcome, and drops it.
    deferred: Deferred[Any] = Deferred()
    run_in_thread(
        function,
        scheduler.soon_threadsafe,
        deferred.callback,
        deferred.errback,
        name="broker SCRAM",
    )
    return deferred
