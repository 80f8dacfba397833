"""Logging in: which ways are open to whom, and what becomes of a refusal."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from support.memory import BrokerPair
from support.ways_in import WaysIn
from zope.interface import implementer

import broker as asyncio_face
from broker.core.policy import PUBLISHED, STRICT
from broker.defer import Deferred, fail, to_deferred
from broker.errors import RemoteError, ServerBusy, ServerDraining, TooManyAttempts
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure
from broker.flavors.reference import RemoteReference
from broker.login.client import login
from broker.login.realm import realm
from broker.login.server import PortalRoot
from broker.login.throttle import LoginThrottle
from broker.net.socket_addresses import IPv4Address, UNIXAddress
from broker.net.twisted_transport import port_of
from broker.token_bucket import Rate
from broker.transient import is_transient
from cred.challenges import respond
from cred.checkers import (
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.credentials import Anonymous, IUsernameHashedPassword, UsernamePassword
from cred.error import LoginFailed, UnauthorizedLogin
from cred.portal import Portal


def copied(kind: str) -> CopiedFailure:
    """Return a failure as it comes from a peer."""
    failure = CopiedFailure.__new__(CopiedFailure)
    failure.setCopyableState({"type": kind, "value": "", "parents": [kind], "traceback": ""})
    return failure


class RefusingBroker:
    """The client's side of a connection whose server names no login and refuses all, as told."""

    policy = PUBLISHED
    session = SimpleNamespace(logins=None)

    def __init__(self, **answers: CopiedFailure) -> None:
        self.answers = answers

    def remoteForName(self, name: bytes) -> Any:
        """Return the root: itself."""
        return self

    def callRemote(self, name: str, *args: Any) -> Deferred[Any]:
        """Fail as told."""
        return fail(self.answers[name])


@pytest.mark.parametrize("credentials", [Anonymous(), UsernamePassword("alice", "sesame")])
def test_a_refusal_reaches_errbacks_as_it_came(credentials: Any) -> None:
    """What the realm raised can be trapped by its name, also where its class is not known."""
    refusal = copied("realm.Closed")
    broker: Any = RefusingBroker(login=refusal, loginAnonymous=refusal)
    seen: list[Any] = []
    login(broker, credentials).addErrback(seen.append)
    assert [refusal] == seen
    assert refusal.check("realm.Closed") == "realm.Closed"


@pytest.mark.parametrize("credentials", [Anonymous(), UsernamePassword("alice", "sesame")])
def test_a_server_without_login_says_so(credentials: Any) -> None:
    """A root that has no login methods is a LoginFailed, which says what to do."""
    no_method = copied("twisted.spread.flavors.NoSuchMethod")
    broker: Any = RefusingBroker(login=no_method, loginAnonymous=no_method)
    seen: list[Any] = []
    login(broker, credentials).addErrback(seen.append)
    (failure,) = seen
    assert LoginFailed is failure.type
    assert "without credentials" in failure.getErrorMessage()


ALICE = UsernamePassword("alice", "secret")
WITH_CHALLENGE = STRICT.but(challenge_login=True)


class PublicTransport:
    """A connection over the open network, without TLS."""

    def getPeer(self) -> IPv4Address:
        """Return an address of elsewhere."""
        return IPv4Address("TCP", "192.0.2.1", 40000)

    def write(self, data: bytes) -> None:
        """Send nothing."""


class SecureTransport(PublicTransport):
    """The same through TLS."""

    is_secure = True


class LocalTransport:
    """A connection within this machine."""

    def getPeer(self) -> UNIXAddress:
        """Return no path, as that of a client has none."""
        return UNIXAddress("")

    def write(self, data: bytes) -> None:
        """Send nothing."""


def portal(*checkers: Any) -> Portal:
    """Return a portal, for passwords and guests unless told otherwise."""
    usual = (InMemoryUsernamePasswordDatabaseDontUse(alice="secret"), AllowAnonymousAccess())
    return Portal(realm(lambda avatar_id, mind: asyncio_face.Avatar()), list(checkers or usual))


def login_root(transport: Any, policy: Any = STRICT) -> Any:
    """Return what a peer at the other end of a transport meets."""
    broker = asyncio_face.Broker(False, policy=policy)
    broker.port = port_of(transport)
    return PortalRoot(portal()).rootObject(broker)


def result_of(login: Any) -> Any:
    """Return a result, or that of a Deferred that has fired, or raise its failure."""
    outcomes: list[Any] = []
    to_deferred(login).addBoth(outcomes.append)
    if isinstance(outcomes[0], Failure):
        raise outcomes[0].value
    return outcomes[0]


@pytest.mark.parametrize(
    ("transport", "policy", "mechanisms"),
    [
        (SecureTransport(), STRICT, ["password", "anonymous"]),
        (LocalTransport(), STRICT, ["password", "anonymous"]),
        (PublicTransport(), STRICT, ["anonymous"]),
        (SecureTransport(), WITH_CHALLENGE, ["password", "challenge", "anonymous"]),
        (PublicTransport(), WITH_CHALLENGE, ["anonymous"]),
        (PublicTransport(), PUBLISHED, ["challenge", "anonymous"]),
    ],
)
def test_mechanisms(transport: Any, policy: Any, mechanisms: list[str]) -> None:
    """A password is for private connections, the challenge for whom the policy allows it."""
    assert login_root(transport, policy).remote_mechanisms() == mechanisms


def test_what_is_not_offered_is_refused() -> None:
    """Who does not ask what is offered is refused all the same, and told why."""
    root = login_root(PublicTransport())
    with pytest.raises(LoginFailed, match="a password is taken over TLS or the loopback only"):
        result_of(root.remote_loginPassword(b"alice", b"secret", None))
    with pytest.raises(UnauthorizedLogin, match="does not accept the old challenge login"):
        result_of(root.remote_login(b"alice"))


@pytest.mark.parametrize(
    ("name", "password"),
    [(b"a" * 257, b"x"), (b"alice", b"x" * 1025), (5, b"x"), (b"alice", None), (b"\xff", b"x")],
)
def test_names_and_passwords_that_are_none(name: Any, password: Any) -> None:
    """What is too long, or no text, is a wrong login like any other."""
    root = login_root(LocalTransport())
    with pytest.raises(UnauthorizedLogin, match=r"^wrong user name or password$"):
        result_of(root.remote_loginPassword(name, password, None))


def test_one_answer_to_a_challenge() -> None:
    """A challenge takes one answer, right or wrong."""
    asked = login_root(LocalTransport(), WITH_CHALLENGE).remote_login(b"alice")
    token, challenger = result_of(asked)
    with pytest.raises(UnauthorizedLogin):
        result_of(challenger.remote_respond(b"wrong", None))
    with pytest.raises(LoginFailed, match="this challenge has been answered; ask for a new one"):
        result_of(challenger.remote_respond(respond(token, b"secret"), None))


@implementer(ICredentialsChecker)
class HashedOnly:
    """A checker that never sees a password in clear."""

    credentialInterfaces = (IUsernameHashedPassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        """Check the answer to the challenge."""
        if not credentials.checkPassword(b"secret"):
            raise UnauthorizedLogin("wrong user name or password")
        return credentials.username


async def test_challenge_where_both_allow_it() -> None:
    """The challenge login is used where the server has no other, and both allow it."""
    serving = asyncio_face.serve(portal(HashedOnly()), "pb://127.0.0.1:0", policy=WITH_CHALLENGE)
    async with serving as server:
        address = server.addresses[0]
        async with asyncio_face.connect(address, ALICE, policy=WITH_CHALLENGE) as connection:
            assert connection.peer.mechanism == "challenge"
            assert server.connections[0].peer.avatar_id == "alice"
        with pytest.raises(UnauthorizedLogin):
            wrong = UsernamePassword("alice", "guess")
            await asyncio_face.connect(address, wrong, policy=WITH_CHALLENGE)
        with pytest.raises(LoginFailed, match=r"allow it with Policy\(challenge_login=True\)$"):
            await asyncio_face.connect(address, ALICE)


class Counted(asyncio_face.Avatar):
    """Counts itself."""

    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def logout(self) -> None:
        """Count no more."""
        Counted.alive -= 1


@pytest.fixture
def guests() -> Portal:
    """Return a portal that counts who is in."""
    Counted.alive = 0
    return Portal(realm(lambda avatar_id, mind: Counted()), [AllowAnonymousAccess()])


def test_a_login_wants_an_answer(guests: Portal) -> None:
    """A login whose answer nobody waits for makes no avatar, however often it is asked for."""
    pair = BrokerPair()
    pair.server.setNameForLocal("root", PortalRoot(guests).rootObject(pair.server))
    for _ in range(50):
        pair.root.callRemote("loginAnonymous", None, pbanswer=False)
    pair.exchange()
    assert Counted.alive == 0
    avatar = pair.call("loginAnonymous", None)
    assert (type(avatar), Counted.alive) == (RemoteReference, 1)
    pair.cut()
    assert Counted.alive == 0


def test_an_answer_to_a_challenge_wants_one_too() -> None:
    """So is it with the object that takes the answer to a challenge."""
    _, challenger = result_of(login_root(LocalTransport(), WITH_CHALLENGE).remote_login(b"alice"))
    for target in (challenger, login_root(LocalTransport())):
        unanswered = target.route().unanswered
        assert unanswered is not None
        assert isinstance(unanswered(), LoginFailed)


def test_logins_on_one_connection_have_an_end(guests: Portal) -> None:
    """There are never more avatars than max_refs; one that is logged out makes room."""
    broker = asyncio_face.Broker(False, policy=STRICT.but(max_refs=3))
    root = PortalRoot(guests).rootObject(broker)
    first, _, _ = (result_of(root.remote_loginAnonymous(None)) for _ in range(3))
    with pytest.raises(LoginFailed, match=r"^3 logins on one connection \(max_refs\)$"):
        result_of(root.remote_loginAnonymous(None))
    assert Counted.alive == 3
    first.undo()
    root.remote_loginAnonymous(None)
    assert Counted.alive == 3


@pytest.mark.parametrize("made", [None, 5, object()])
async def test_what_a_realm_returns(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A realm that returns no avatar, as by a forgotten ``return``, fails the login."""
    strange = Portal(realm(lambda avatar_id, mind: made), [AllowAnonymousAccess()])
    async with asyncio_face.serve(strange, "pb://127.0.0.1:0") as server:
        with pytest.raises(asyncio_face.RemoteError, match="internal error"):
            await asyncio_face.connect(server.addresses[0], Anonymous())
    (record,) = caplog.records
    assert record.exc_info is not None
    text = f"the realm returned {type(made).__name__}, which is not an Avatar"
    assert str(record.exc_info[1]) == text


def test_a_client_alone_knows_the_refusals() -> None:
    """A program that loads the client's end only is refused with the classes of cred.error."""
    program = (
        "import broker.client, cred.error\n"
        "from broker.flavors.failures import defaults\n"
        "known = set(defaults.declared.errors.values())\n"
        "names = ('LoginDenied LoginFailed LoginUnavailable Unauthorized UnauthorizedLogin'\n"
        "         ' UnhandledCredentials').split()\n"
        "print([name for name in names if getattr(cred.error, name) not in known])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("credentials", [Anonymous(), UsernamePassword("alice", "sesame")])
@pytest.mark.parametrize("cls", [TooManyAttempts, ServerBusy, ServerDraining])
def test_a_refusal_for_now_is_a_failed_login(cls: Any, credentials: Any) -> None:
    """What also ends other calls is a LoginFailed at a login, with its text, and transient."""
    refusal = copied(f"broker.errors.{cls.__name__}")
    refusal.value, refusal.fields = "later", {"after": 5}
    broker: Any = RefusingBroker(login=refusal, loginAnonymous=refusal)
    seen: list[Any] = []
    login(broker, credentials).addErrback(seen.append)
    (failure,) = seen
    assert failure.check(cls) is cls
    assert failure.check(LoginFailed) is LoginFailed
    assert failure.check("twisted.cred.error.LoginFailed")
    assert str(failure.value) == "later"
    assert is_transient(failure)
    assert failure.value.after == 5.0


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_a_login_that_is_put_off(policy: Any, dialect: str) -> None:
    """The throttle's refusal is the server's own, and tells when to try again."""
    throttle = LoginThrottle(account=Rate(1, 17.0), source=None, connection=None, clock=lambda: 5.0)
    room = WaysIn(throttle=throttle, policy=policy.but(dialects=(dialect,)))
    assert room.log_in(UsernamePassword("alice", "guess")).check(UnauthorizedLogin)
    refused = room.log_in(UsernamePassword("alice", "secret"))
    assert refused.check(TooManyAttempts) and refused.check(LoginFailed)
    assert refused.value.after == 17.0
    raw = room.call("loginPassword", b"alice", b"secret", None)
    assert raw.as_exception().__class__ is TooManyAttempts
    assert isinstance(refused.value, RemoteError) is policy.published_errors
