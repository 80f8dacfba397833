"""Calls on the result of a login that has not been accepted yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.ways_in import WaysIn

from broker.core.policy import STRICT
from broker.defer import Deferred
from broker.errors import Error
from broker.pb import respond
from cred.error import UnauthorizedLogin
from cred.scram import ScramClient

WAYS: dict[str, Callable[[Any, bool], Any]] = {
    "password": lambda root, good: root.callRemote(
        "loginPassword", "alice", "secret" if good else "wrong", None
    ),
    "token": lambda root, good: root.callRemote("loginToken", "good" if good else "bad", None),
    "anonymous": lambda root, good: root.callRemote("loginAnonymous", None),
}
NAMES = {"password": "alice", "token": "bob", "anonymous": "guest"}


def ways_in(dialect: str, **options: Any) -> WaysIn:
    """Return a server with all logins, and its client."""
    policy = STRICT.but(dialects=(dialect,), challenge_login=True)
    return WaysIn(policy=policy, **options)


def outcome(deferred: Any) -> list[Any]:
    """Return what a call comes to, once it has."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
@pytest.mark.parametrize("way", list(WAYS))
def test_a_login_that_succeeds(dialect: str, way: str) -> None:
    """The first calls leave with the login, and are made when it is accepted."""
    pair = ways_in(dialect)
    root = pair.client.remoteForName("root")
    login = WAYS[way](root, True)
    calls = [outcome(login.callRemote("whoami"))]
    nested = outcome(login.callRemote("give").callRemote("whoami"))
    if dialect == "msgpack/1":
        assert len(pair.client.session.outgoing.open_calls.open) == 4
    pair.exchange()
    assert calls[0] == [NAMES[way]]
    assert nested[0] == (None if way == "anonymous" else NAMES[way])
    assert len(pair.avatars) == 1


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
@pytest.mark.parametrize("way", ["password", "token"])
def test_a_login_that_fails(dialect: str, way: str) -> None:
    """The calls fail with the error of the login, and have not run."""
    pair = ways_in(dialect)
    root = pair.client.remoteForName("root")
    login = WAYS[way](root, False)
    calls = [outcome(login.callRemote("whoami")) for _ in range(2)]
    found = outcome(login)
    pair.exchange()
    for each in (found, *calls):
        assert each[0].check(UnauthorizedLogin), each
    assert pair.avatars == []
    # The connection goes on.
    assert outcome_after(pair, WAYS[way](root, True).callRemote("whoami")) == NAMES[way]


def outcome_after(pair: WaysIn, deferred: Any) -> Any:
    """Exchange, and return the result."""
    found = outcome(deferred)
    pair.exchange()
    return found[0]


class Slow:
    """A checker that answers when the test says so."""

    def __init__(self, real: Any) -> None:
        self.credentialInterfaces = real.credentialInterfaces
        self.real = real
        self.asked: list[tuple[Deferred[Any], Any]] = []

    def requestAvatarId(self, credentials: Any) -> Any:
        """Wait."""
        self.asked.append((Deferred(), credentials))
        return self.asked[-1][0]

    def answer(self, which: int) -> None:
        """Let a login go on."""
        deferred, credentials = self.asked[which]
        try:
            result = self.real.requestAvatarId(credentials)
        except Exception as error:
            deferred.errback(error)
        else:
            deferred.callback(result)


def with_slow_tokens(pair: WaysIn) -> Slow:
    """Replace the checker of tokens."""
    for interface, checker in list(pair.portal.checkers.items()):
        if interface.__name__ == "IBearerToken":
            slow = Slow(checker)
            pair.portal.checkers[interface] = slow
            return slow
    raise AssertionError


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("first_is_good", [True, False])
def test_two_logins_at_once(order: tuple[int, int], first_is_good: bool) -> None:
    """Each call has the outcome of its own login, in whatever order the checkers answer."""
    pair = ways_in("msgpack/1")
    slow = with_slow_tokens(pair)
    root = pair.client.remoteForName("root")
    logins = [WAYS["token"](root, good) for good in (first_is_good, not first_is_good)]
    calls = [outcome(login.callRemote("whoami")) for login in logins]
    pair.exchange()
    assert calls == [[], []]
    waiting = pair.server.session.incoming.used_promises
    assert waiting is not None
    assert waiting.size == 2
    for which in order:
        slow.answer(which)
        pair.exchange()
    good, bad = (0, 1) if first_is_good else (1, 0)
    assert calls[good] == ["bob"]
    assert calls[bad][0].check(UnauthorizedLogin)


def test_waiting_calls_count_for_login_calls() -> None:
    """Before a login four calls run at once, those that wait among them."""
    pair = ways_in("msgpack/1")
    slow = with_slow_tokens(pair)
    login = WAYS["token"](pair.client.remoteForName("root"), True)
    calls = [outcome(login.callRemote("whoami")) for _ in range(4)]
    pair.exchange()
    assert "4 calls in flight" in str(calls[3][0].value)
    slow.answer(0)
    pair.exchange()
    assert calls[:3] == [["bob"]] * 3


def closed(pair: WaysIn) -> bool:
    """Whether the server has ended the connection."""
    return pair.transport(pair.server).is_losing or pair.transport(pair.server).is_aborted


@pytest.mark.parametrize(
    "send",
    [
        lambda client, login: login.callRemote("whoami", [1]),
        lambda client, login: login.callRemote("whoami", key=1),
        lambda client, login: login.callRemote("whoami", login),
        lambda client, login: login.callRemote("whoami", client.remoteForName("root")),
        lambda client, login: client.session.outgoing.call((7,), "whoami", (), {}),
        lambda client, login: client.session.outgoing.call((), "whoami", (), {}),
        lambda client, login: client.session.outgoing.call((True,), "whoami", (), {}),
    ],
)
def test_what_the_gate_refuses(send: Any) -> None:
    """Values that are not single, and promises of what is not a login, end the connection."""
    pair = ways_in("msgpack/1")
    with_slow_tokens(pair)
    login = WAYS["token"](pair.client.remoteForName("root"), True)
    made = send(pair.client, login)
    outcome(login)
    pair.client.calls.flush()
    if made is not None and not isinstance(made, int):
        outcome(made)
    pair.exchange()
    assert closed(pair)
    assert pair.avatars == []


def test_a_promise_of_another_call() -> None:
    """A call that is not a login has no result to call."""
    pair = ways_in("msgpack/1")
    client = pair.client
    number = client.session.outgoing.call("root", "nothing", (), {})
    client.session.outgoing.call((number,), "whoami", (), {})
    client.calls.flush()
    pair.exchange()
    assert closed(pair)


async def test_in_the_loop() -> None:
    """The same with tasks: an async checker."""
    import broker
    import cred
    from broker import testing

    class Later:
        credentialInterfaces = (cred.interfaces.IUsernamePassword,)

        async def requestAvatarId(self, credentials: Any) -> Any:
            await asyncio.sleep(0)
            if credentials.username in (b"alice", "alice"):
                return "alice"
            raise UnauthorizedLogin("no")

    class Avatar(broker.Avatar):
        def perspective_hello(self) -> str:
            return "hello"

    portal = cred.Portal(
        broker.realm(lambda name, mind: Avatar()), [Later(), cred.AllowAnonymousAccess()]
    )
    async with testing.pair(portal, credentials=cred.Anonymous()) as pair:
        root = pair.client.broker.remoteForName("root")
        for name in ("alice", "mallory"):
            call = root.callRemote("loginPassword", name, "x", None).callRemote("hello")
            try:
                assert await call == "hello"
                assert name == "alice"
            except (Error, UnauthorizedLogin) as error:
                assert name == "mallory", error


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_scram(dialect: str, password: str) -> None:
    """The avatar is the second element of what ``finish`` returns; calls on it leave with it."""
    pair = ways_in(dialect)
    client = ScramClient("alice", password, binding=None, plus=False)
    root = pair.client.remoteForName("root")
    first, exchange = outcome_after(
        pair, root.callRemote("loginScram", "SCRAM-SHA-256", client.first())
    )
    finish = exchange.callRemote("finish", client.final(first), None)
    call, proof = outcome(finish[1].callRemote("whoami")), outcome(finish[0])
    wrong = outcome(finish[0].callRemote("whoami"))
    pair.exchange()
    if password == "secret":
        assert call == ["alice"]
        client.verify(proof[0])
        assert "not a reference" in str(wrong[0].value)
    else:
        assert call[0].check(UnauthorizedLogin)
        assert pair.avatars == []


@pytest.mark.parametrize("password", [b"secret", b"wrong"])
def test_challenge(password: bytes) -> None:
    """PB's own login: the answer to the challenge returns the avatar."""
    pair = ways_in("pb")
    root = pair.client.remoteForName("root")
    challenge, challenger = outcome_after(pair, root.callRemote("login", b"alice"))
    login = challenger.callRemote("respond", respond(challenge, password), None)
    call = outcome(login.callRemote("whoami"))
    pair.exchange()
    if password == b"secret":
        assert call == ["alice"]
    else:
        assert call[0].check(UnauthorizedLogin)
        assert pair.avatars == []
