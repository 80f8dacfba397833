"""broker.mechanisms.scram: SCRAM over two calls, and peers that do it wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from support.ways_in import BINDING, ITERATIONS, WaysIn

import cred
from broker.core.policy import PUBLISHED, STRICT
from broker.defer import CancelledError
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable, Root
from broker.login.client import login
from cred.scram import SCRAM, SCRAM_PLUS, ScramClient, ScramServer
from cred.scram_verifier import ScramVerifier

ALICE = cred.UsernamePassword("alice", "secret")
WRONG = "wrong user name or password"


def begun(room: WaysIn, name: str = "alice", password: str = "secret") -> tuple[Any, Any, Any]:
    """Begin an exchange; return the client's half, the server's message, and the exchange."""
    client = ScramClient(name, password, binding=BINDING, plus=True)
    server_first, exchange = room.call("loginScram", SCRAM_PLUS, client.first())
    return client, server_first, exchange


@pytest.mark.parametrize(
    "credentials",
    [
        cred.UsernamePassword("alice", "guess"),
        cred.UsernamePassword("eve", "secret"),
        cred.Scram("eve", "secret"),
    ],
)
def test_a_wrong_login(credentials: Any) -> None:
    """A wrong password and an unknown user are one error, and no other way is tried after."""
    room = WaysIn()
    failure = room.log_in(credentials)
    assert failure.check(cred.UnauthorizedLogin)
    assert failure.getErrorMessage() == WRONG
    assert (room.avatars, len(room.scram.asked)) == ([], 1)


def test_right_but_refused() -> None:
    """A user who is disabled is refused like one who does not exist, though the proof was right."""
    room = WaysIn()
    room.scram.refused.add("alice")
    assert room.log_in(ALICE).getErrorMessage() == WRONG


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
@pytest.mark.parametrize("name", ["alice", b"alice"])
def test_the_form_of_the_name(policy: Any, name: Any) -> None:
    """The checker gets the name as text, which is all that SCRAM has, whatever the client gave."""
    room = WaysIn(policy=policy)
    room.log_in(cred.UsernamePassword(name, "secret"))
    assert room.scram.asked == ["alice"]


def test_the_same_answer_for_nobody() -> None:
    """Asked twice for a user that there is not, the server shows the same salt."""
    room = WaysIn()
    messages = [begun(room, name)[1] for name in ("eve", "eve", "alice", "mallory")]
    salts = [message.partition(b",")[2] for message in messages]
    assert salts[0] == salts[1]
    assert len(set(salts)) == 3
    assert len({(len(message), message.rpartition(b"i=")[2]) for message in messages}) == 1


def test_one_answer_to_an_exchange() -> None:
    """An exchange takes one answer, right or wrong; the next is told to begin a new one."""
    room = WaysIn()
    client, server_first, exchange = begun(room)
    final = client.final(server_first)
    wrong = room.get(exchange.callRemote("finish", final[:-8] + b"AAAAAAA=", None))
    assert wrong.getErrorMessage() == WRONG
    for _ in range(2):
        again = room.get(exchange.callRemote("finish", final, None))
        assert again.getErrorMessage() == "this exchange has been answered; begin a new one"
    assert room.avatars == []


def test_a_replay() -> None:
    """What was recorded of one exchange opens no other, on this connection or on the next."""
    room = WaysIn()
    client, server_first, exchange = begun(room)
    final = client.final(server_first)
    assert room.get(exchange.callRemote("finish", final, None))[0].startswith(b"v=")
    for other in (room, WaysIn()):
        _, _, next_exchange = begun(other)
        replayed = other.get(next_exchange.callRemote("finish", final, None))
        assert replayed.getErrorMessage() == "SCRAM: the nonce is not that of this exchange"


def test_a_stripped_offer() -> None:
    """Where somebody took PLUS out of the offer, the server hears that the client could."""
    room = WaysIn(connect=False)
    room.server.session.name_logins(lambda: [SCRAM])
    failure = room.log_in(ALICE)
    assert failure.getErrorMessage() == "channel binding was stripped"
    assert room.avatars == []


def test_another_connection() -> None:
    """A proof for one TLS connection is worth nothing on another."""
    room = WaysIn()
    transport: Any = room.transport(room.client)
    transport.channel_binding = lambda: bytes(32)
    told = "channel binding failed: the client is on another TLS connection"
    assert room.log_in(ALICE).getErrorMessage() == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("SCRAM-SHA-1", b"n,,n=a,r=b"), f"SCRAM is done here with {SCRAM} or {SCRAM_PLUS}"),
        ((5, b"n,,n=a,r=b"), f"SCRAM is done here with {SCRAM} or {SCRAM_PLUS}"),
        ((SCRAM, b""), "SCRAM: the client's first message is malformed"),
        ((SCRAM, None), "SCRAM: a message of the client's is NoneType"),
        ((SCRAM, b"y,,n=a,r=b"), "channel binding was stripped"),
        ((SCRAM, b"n,,n=" + b"a" * 257 + b",r=b"), WRONG),
        ((b"SCRAM-SHA-256", b"n,,n=\xff,r=b"), "SCRAM: a message of the client's is not UTF-8"),
        ((SCRAM_PLUS, b"n,,n=a,r=b"), f"{SCRAM_PLUS} binds to the TLS connection by tls-exporter"),
    ],
)
def test_a_bad_beginning(arguments: Any, told: str) -> None:
    """What is no beginning of SCRAM is told why, in one line, and asks no store."""
    room = WaysIn()
    assert room.call("loginScram", *arguments).getErrorMessage() == told
    assert room.scram.asked == []


@pytest.mark.parametrize(
    ("options", "taken", "told"),
    [
        ({"binding": None}, False, f"{SCRAM_PLUS} is for connections through TLS 1.3"),
        ({}, True, "this server keeps no SCRAM verifiers"),
    ],
)
def test_what_is_not_offered(options: dict[str, Any], taken: bool, told: str) -> None:
    """Who does not ask what is offered is refused all the same."""
    room = WaysIn(**options)
    if taken:
        room.take_away(cred.IScramProof)
    first = b"p=tls-exporter,,n=alice,r=nonce"
    assert room.call("loginScram", SCRAM_PLUS, first).getErrorMessage() == told


class False_(Referenceable):
    """The second half of a server that does not know the password."""

    def __init__(self, last: Any):
        self.last = last

    def remote_finish(self, client_final: Any, mind: Any) -> Any:
        """Let the client in, whatever it has proven."""
        return self.last, Root()


class Impostor(Root):
    """A server that would like to be believed."""

    def __init__(self, iterations: int = ITERATIONS, answer: Any = None, last: Any = b"v=AAAA"):
        self.iterations = iterations
        self.answer = answer
        self.last = last

    def remote_loginScram(self, name: Any, client_first: bytes) -> Any:
        """Play the server, with a verifier of its own."""
        if self.answer is not None:
            return self.answer
        verifier = ScramVerifier.of_nobody(b"impostor", "alice", self.iterations)
        first = ScramServer(SCRAM, client_first).first(verifier)
        return first, False_(self.last)

    def remote_loginPassword(self, username: Any, password: Any, mind: Any) -> Any:
        """Get what it is after."""
        raise AssertionError("the client has fallen back to a weaker way")


@pytest.mark.parametrize(
    ("impostor", "told"),
    [
        (
            Impostor(),
            "the server's signature is wrong: it does not know this user's password; it may not be"
            " the server you think it is",
        ),
        (Impostor(last="v=AAAA"), "the server's SCRAM message is not understood"),
        (
            Impostor(iterations=1),
            "the server asks for 1 iterations of SCRAM; fewer than 10000 would let it guess the"
            " password: give the user a new verifier",
        ),
        (
            Impostor(iterations=10**7),
            "the server asks for 10000000 iterations of SCRAM; more than 5000000 are not made:"
            " give the user a new verifier",
        ),
        (Impostor(answer="challenge"), "the server's SCRAM message is not understood"),
        (Impostor(answer=(b"r=x", b"no exchange")), "the server's SCRAM message is not understood"),
        (
            Impostor(answer=(b"r=x,s=eA==,i=10000", Root())),
            "SCRAM: the server has not used this client's nonce",
        ),
    ],
)
def test_the_client_notices(impostor: Impostor, told: str) -> None:
    """A server that cannot prove to know the password is not believed, and gets nothing else."""
    room = WaysIn(binding=None, connect=False)
    room.server.session.name_logins(lambda: [SCRAM, "password"])
    room.server.setNameForLocal("root", impostor)
    failure = room.log_in(ALICE)
    assert failure.check(cred.LoginFailed)
    assert failure.getErrorMessage() == told
    assert room.client.peer.mechanism is None


def test_a_name_that_is_too_long() -> None:
    """The client says what is wrong with its own user name or password, and sends neither."""
    room = WaysIn()
    sent = len(room.transport(room.client).writes)
    failure = room.log_in(cred.Scram("alice", "x" * 1025))
    assert failure.getErrorMessage() == "the password is not one: 1025 bytes, of 1024"
    assert len(room.transport(room.client).writes) == sent


async def test_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the client works, its loop runs: the iterations are made in a thread.

    The work ends only once the loop has run on: in the thread of the loop it would end in vain.
    """
    began, has_run_on = threading.Event(), threading.Event()
    final = ScramClient.final

    def waiting(client: ScramClient, server_first: bytes) -> bytes:
        began.set()
        assert has_run_on.wait(30)
        return final(client, server_first)

    monkeypatch.setattr(ScramClient, "final", waiting)

    room = WaysIn(scheduler=LoopOf(asyncio.get_running_loop()))
    entered: list[Any] = []
    login(room.client, ALICE).addBoth(entered.append)
    while not entered:
        room.exchange()
        await asyncio.sleep(0)
        if began.is_set():
            has_run_on.set()
    assert isinstance(entered[0], RemoteReference)


async def test_a_login_that_is_cancelled_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome of the thread comes to nobody, and disturbs nobody."""
    began, has_been_cancelled = threading.Event(), threading.Event()
    final = ScramClient.final
    disturbed: list[Any] = []

    def waiting(client: ScramClient, server_first: bytes) -> bytes:
        began.set()
        assert has_been_cancelled.wait(30)
        return final(client, server_first)

    monkeypatch.setattr(ScramClient, "final", waiting)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: disturbed.append(context))
    room = WaysIn(scheduler=LoopOf(loop))
    ended: list[Any] = []
    attempt = login(room.client, ALICE)
    attempt.addBoth(ended.append)
    while not began.is_set():
        room.exchange()
        await asyncio.sleep(0)
    attempt.cancel()
    assert ended[0].check(CancelledError)
    has_been_cancelled.set()
    while any(thread.name == "broker SCRAM" for thread in threading.enumerate()):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert disturbed == []


class LoopOf:
    """The scheduler of a loop, of which a test takes no turns."""

    loop = create_task = begin_task = None
    stepped_loop = staticmethod(lambda: None)

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.soon = self.soon_threadsafe = loop.call_soon_threadsafe
        self.later = self.timeout = loop.call_later
        self.now = loop.time

    def step(self) -> bool:
        """Take none."""
        return False
