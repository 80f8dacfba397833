"""Before a login: only the messages of a login are read, and they must be small."""

from __future__ import annotations

import functools
import gc
from typing import Any

import pytest
from attacks.attacker import (
    BOTH,
    NOTHING,
    POLICIES,
    Speaker,
    Victim,
    binds,
    cost,
    flat,
    let_in,
    taming,
)
from attacks.catalogue import ATTACKS, Attack, nested
from support.ways_in import WaysIn

import broker
import cred
from broker.core.policy import PUBLISHED, STRICT
from broker.core.wire.messages import Decref, GraphAnswer, GraphError
from broker.defer import Deferred
from cred.interfaces import IScramProof


class Made(broker.Copyable, broker.RemoteCopy):
    """A copy that counts how many were made."""

    made = 0
    owner: str = ""

    def setCopyableState(self, state: Any) -> None:
        """Count."""
        Made.made += 1
        super().setCopyableState(state)


@pytest.fixture(autouse=True)
def registered() -> Any:
    """Register the class, and remove it afterwards."""
    Made.made = 0
    with let_in("demo.Made", Made, Made):
        yield


MADE = [b"demo.Made", [b"dictionary", [[b"unicode", b"owner"], [b"unicode", b"x"]]]]


class House:
    """A portal that records its requests.

    Attributes:
        minds: the minds that the realm received.
        avatar: the result; an Avatar, or a Deferred of one.
    """

    def __init__(self) -> None:
        self.minds: list[Any] = []
        self.avatar: Any = broker.Avatar()
        users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
        self.portal = cred.Portal(broker.realm(self._enter), [users, cred.AllowAnonymousAccess()])

    def _enter(self, avatar_id: Any, mind: Any) -> Any:
        self.minds.append(mind)
        return self.avatar


def stranger(dialect: str, policy: str, house: Any = None) -> Victim:
    """A server with a portal, over a connection that allows passwords."""
    victim = Victim(dialect, policy, (house or House()).portal)
    victim.transport.is_secure = True
    return victim


def hear(data: bytes, victim: Victim) -> None:
    """Let it receive bytes."""
    victim.hear(data)


def answers(victim: Victim) -> list[Any]:
    """The answers and the errors."""
    said = victim.speaker.read(victim.said)
    return [message for message in said if type(message) in (GraphAnswer, GraphError)]


def log_in(speaker: Speaker, mind: Any, password: bytes = b"secret", number: int = 1) -> bytes:
    """A login with a password."""
    return speaker.call(b"alice", password, mind, name=b"loginPassword", number=number)


@binds("A9", "A10", "A11", "A12", "A13", "A14", "A15", dialects=())
@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_what_kills_nobody_after_a_login_kills_nobody_before_it(
    attack: Attack, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each attack of the catalogue, before a login, ends the connection or is refused: one line."""
    for dialect in attack.dialects:
        victim = stranger(dialect, policy)
        data = attack.make(victim.speaker)
        with taming(caplog) as lines:
            victim.hear(data)
        assert len(lines) <= 1
        refused = [type(answer) for answer in answers(victim)]
        assert victim.is_dead or refused == [GraphError]
        if len(data) > 70_000:
            assert victim.is_dead
        victim.end()
        fresh = functools.partial(stranger, dialect, policy)
        assert cost(functools.partial(hear, data), fresh, 4, 0.1) <= 0.1


@binds("A9")
@pytest.mark.parametrize(
    "make",
    [
        lambda s: s.call([b"list"], name=b"login"),
        lambda s: s.call(b"alice", [b"remote", 1], [b"None"], name=b"loginPassword"),
        lambda s: s.call(MADE, name=b"echo"),
        lambda s: s.call(b"alice", name=b"login", kw=[b"dictionary", [[b"unicode", b"a"], 1]]),
        lambda s: s.message(b"cachemessage", 1, 5, b"x", 1, [b"tuple"], NOTHING),
        lambda s: s.message(b"answer", 1, 5),
        lambda s: s.message(b"error", 1, b"x"),
        lambda s: s.message(b"uncache", 1),
    ],
    ids=[
        "a list as a name",
        "a reference as a password",
        "a copy to another method",
        "a keyword",
        "a call to a cache",
        "an answer",
        "an error",
        "an uncache",
    ],
)
def test_what_is_no_login(
    make: Any, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends the connection, before any object is made of it."""
    victim = stranger(dialect, policy)
    with taming(caplog) as lines:
        victim.hear(make(victim.speaker))
    assert lines == ["closed PEER: not logged in"]
    assert victim.is_dead
    assert Made.made == 0


@binds("A9")
def test_another_method_is_refused_in_words(policy: str, dialect: str) -> None:
    """A client that calls a method of a server without login is asked to log in, and may do so."""
    victim = stranger(dialect, policy)
    victim.hear(victim.speaker.call(5, name=b"echo"))
    victim.hear(log_in(victim.speaker, [b"None"], number=2))
    refused, answer = answers(victim)
    assert b"this server asks for a login: pass credentials to connect" in flat(refused.failure)
    assert type(answer) is GraphAnswer
    victim.end()


@binds("A9")
@pytest.mark.parametrize(
    ("mind", "text"),
    [
        (nested(12), None),
        (nested(14), "nesting deeper than 16 (max_depth)"),
        ([b"list", *([b"remote", n] for n in range(8))], None),
        (
            [b"list", *([b"remote", n] for n in range(9))],
            "more than 8 live references (max_refs)",
        ),
        ([b"list", *range(1_900)], None),
        ([b"list", *range(2_100)], "expression of more than 2000 nodes (max_nodes)"),
        ([b"list", bytes(65_000)], None),
        ([b"list", bytes(65_536)], "expression larger than 65536 bytes (max_expression)"),
    ],
)
def test_how_much_a_mind_may_be(
    mind: Any, text: str | None, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A mind up to the limits of a login is accepted; beyond them the connection ends."""
    house = House()
    victim = stranger(dialect, policy, house)
    with taming(caplog) as lines:
        victim.hear(log_in(victim.speaker, mind))
    if text is None:
        assert (lines, len(house.minds)) == ([], 1)
    else:
        assert (lines, house.minds) == ([f"closed PEER: {text}"], [])
    victim.end()


@binds("A9")
def test_a_mind_waits_for_the_checker(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the login is refused, the mind is not decoded; the peer learns that it is not held."""
    house = House()
    victim = stranger(dialect, policy, house)
    victim.hear(log_in(victim.speaker, [b"list", MADE, [b"remote", 7]], password=b"wrong"))
    gc.collect()
    victim.wait(0.1)
    assert (Made.made, house.minds) == (0, [])
    assert len(victim.broker.session.translator.imports) == 0
    said = victim.speaker.read(victim.said)
    assert [(m.object_id, m.times) for m in said if type(m) is Decref] == [(7, 1)]
    victim.hear(log_in(victim.speaker, [b"list", MADE, [b"remote", 7]], number=2))
    ((made, reference),) = house.minds
    assert (type(made), made.owner, Made.made) == (Made, "x", 1)
    assert isinstance(reference, broker.RemoteReference)
    victim.end()


@binds("A9")
def test_a_mind_that_may_not_come_in(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is decoded under the normal limits; an error in it fails that login."""
    house = House()
    victim = stranger(dialect, policy, house)
    with taming(caplog) as lines:
        victim.hear(log_in(victim.speaker, [b"list", [b"dereference", 77]]))
    assert lines == ["PEER: MalformedJelly: reference 77 was never defined"]
    assert house.minds == []
    assert [type(answer) for answer in answers(victim)] == [GraphError]
    assert not victim.is_dead
    victim.end()


@binds("A9")
def test_four_logins_at_once(policy: str, dialect: str) -> None:
    """A fifth call, while four wait for the checker, is refused."""

    class Slow:
        """Never answers."""

        credentialInterfaces = (cred.IUsernamePassword,)

        def requestAvatarId(self, credentials: Any) -> Any:
            """Return a result that never comes."""
            return Deferred()

    house = House()
    house.portal.registerChecker(Slow())
    victim = stranger(dialect, policy, house)
    for number in range(1, 6):
        victim.hear(log_in(victim.speaker, [b"None"], number=number))
    (refused,) = answers(victim)
    assert refused.request_id == 5
    assert b"4 calls in flight (max_calls)" in flat(refused.failure)
    assert victim.broker.session.stats.limits == {"max_calls": 1}
    victim.end()


@binds("A9", policies=("published",))
def test_eight_challenges_at_once(policy: str, dialect: str) -> None:
    """A client that asks for challenges and does not answer holds at most eight of them."""
    victim = stranger(dialect, policy)
    for number in range(1, 10):
        victim.hear(victim.speaker.call(b"alice", name=b"login", number=number))
    found = answers(victim)
    assert [type(answer) for answer in found] == [GraphAnswer] * 8 + [GraphError]
    assert b"more than 8 live references (max_refs)" in flat(found[-1].failure)
    victim.end()


@binds("A9")
def test_all_is_open_once_the_checker_has_accepted(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While the realm is still making the avatar, the normal messages and limits apply."""
    house = House()
    house.avatar = Deferred()
    victim = stranger(dialect, policy, house)
    speaker = victim.speaker
    large = [b"list", bytes(100_000), [b"remote", 1], *range(5_000)]
    victim.hear(log_in(speaker, [b"remote", 1]))
    with taming(caplog) as lines:
        victim.hear(speaker.call(large, name=b"echo", number=2))
        victim.hear(speaker.message(b"cachemessage", 3, 5, b"x", 1, [b"tuple"], NOTHING))
    assert not victim.is_dead
    assert lines == [
        "PEER: LoginFailed: this server asks for a login: pass credentials to connect",
        "PEER: NoSuchObject: cache 5 is not held",
    ]
    refused, _ = answers(victim)
    assert b"this server asks for a login" in flat(refused.failure)
    mind = house.minds[0].callRemote("hello")
    mind.addErrback(lambda failure: None)
    victim.scheduler.run()
    house.avatar.callback(broker.Avatar())
    victim.scheduler.run()
    assert type(answers(victim)[-1]) is GraphAnswer
    victim.end()


@binds("A9")
def test_a_root_of_its_own_has_no_gate(policy: str, dialect: str) -> None:
    """Without a login, the normal limits apply from the first byte."""
    victim = Victim(dialect, policy)
    victim.hear(victim.speaker.call([b"list", bytes(100_000), *range(5_000)]))
    assert [type(answer) for answer in answers(victim)] == [GraphAnswer]
    assert victim.broker.session.gate is None
    victim.end()


@pytest.mark.row("A9")
def test_the_figures() -> None:
    """64 KiB, 2,000 nodes, depth 16, 8 references, 4 calls: under both policies."""
    for policy in (STRICT, PUBLISHED):
        limits = policy.login_limits
        assert (limits.max_expression, limits.max_nodes, limits.max_depth) == (65_536, 2_000, 16)
        assert (policy.login_refs, policy.login_calls) == (8, 4)
    assert set(POLICIES) == {"strict", "published"}
    assert BOTH == ("pb", "msgpack/1")


WAYS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "certificate": (cred.ClientCertificate(), ()),
    "SCRAM-SHA-256-PLUS": (cred.Scram("alice", "secret", bound=True), ()),
    "SCRAM-SHA-256": (cred.Scram("alice", "secret"), ()),
    "token": (cred.Token("good"), ()),
    "password": (cred.UsernamePassword("alice", "secret"), (IScramProof,)),
    "challenge": (
        cred.UsernamePassword("alice", "secret"),
        (IScramProof, cred.IUsernamePassword),
    ),
    "anonymous": (cred.Anonymous(), ()),
}


class Mind(broker.Referenceable):
    """A client's mind."""


@pytest.mark.row("A9")
@pytest.mark.parametrize("dialects", [("pb", "none"), ("msgpack/1",)])
@pytest.mark.parametrize("name", WAYS)
def test_every_way_in_passes_the_gate(name: str, dialects: tuple[str, ...]) -> None:
    """Each gives the realm the mind, for any graph, and opens the gate."""
    policy = STRICT.but(challenge_login=True, dialects=dialects)
    options = {"binding": None} if name == "SCRAM-SHA-256" else {}
    room = WaysIn(policy=policy, connect=False, **options)
    credentials, taken = WAYS[name]
    room.take_away(*taken)
    mind = Mind()
    avatar = room.log_in(credentials, [mind, {"of": [mind]}])
    assert room.client.peer.mechanism == name
    reference, rest = room.avatars[-1].mind
    assert isinstance(reference, broker.RemoteReference)
    assert rest["of"][0] is reference
    assert room.server.session.gate is None
    assert room.get(avatar.callRemote("whoami")) in ("alice", "bob", "carol", "guest")


@pytest.mark.row("A9")
def test_who_is_refused_stays_before_the_gate() -> None:
    """The gate stays shut after each kind of refused login."""
    room = WaysIn(certificate=None)
    for method, arguments in (
        ("loginCertificate", (None,)),
        ("loginScram", ("SCRAM-SHA-256", b"n,,n=nobody,r=fyko")),
        ("loginToken", ("bad", None)),
        ("loginPassword", (b"alice", b"bad", None)),
        ("login", (b"alice",)),
    ):
        room.call(method, *arguments)
        assert room.server.session.gate is not None
