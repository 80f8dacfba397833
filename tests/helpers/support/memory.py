"""Two real ends joined in memory: sessions without a loop, and brokers over fake transports.

Bytes cross only when a test says so, in pieces of a chosen size. Time passes only when the test
advances it. So the results do not depend on sockets, loops or clocks.
"""

from __future__ import annotations

import gc
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from broker.connection.broker import Broker
from broker.core.calls.dispatch import Route
from broker.core.events import CallPending, Event
from broker.core.objects.streams import IncomingStream
from broker.core.policy import STRICT, Policy
from broker.core.session import Session
from broker.core.wire.dialects import EXPRESSION_DIALECTS
from broker.core.wire.messages import ObjectId, RequestId
from broker.errors import ConnectionAborted, ConnectionDone
from broker.failure import Failure
from broker.net.scheduler import ImmediateScheduler
from broker.net.socket_addresses import is_local
from broker.net.transport_port import TransportPort
from jelly.atoms import Expression

ROOT = b"root"

PUBLISHED_WIRE = STRICT.but(dialects=("pb", "none"))
"""The strict policy in PB's dialects, whose bytes are specified outside this library."""


def pieces(data: bytes, chunk: int | None, seed: int | None) -> Iterator[bytes]:
    """Cut bytes: whole, into pieces of ``chunk`` bytes, or into random ones from a seed."""
    if seed is not None:
        dice = random.Random(seed)
        while data:
            size = dice.choice((1, 2, 3, 7, 50, 1448))
            yield data[:size]
            data = data[size:]
    elif chunk is None:
        yield data
    else:
        for begin in range(0, len(data), chunk):
            yield data[begin : begin + chunk]


class Reference:
    """The fake host's reference to a peer's object."""

    def __init__(self, perspective: Any, object_id: ObjectId):
        self.perspective = perspective
        self.object_id = object_id


class FakeHost:
    """A host of a session: records events, and answers in the simplest way.

    Attributes:
        events: the session's events, in order.
        outcomes: for each outgoing call: the id, whether it was answered, and the result or error.
        released: how often the session reported a collected object.
    """

    overridden: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.session: Session
        self.events: list[Event] = []
        self.outcomes: list[tuple[RequestId, bool, Any]] = []
        self.released = 0
        self.rows: dict[bytes, Any] = {}

    def on_event(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)

    def answered(self, request_id: RequestId, value: Any) -> None:
        """Record a result."""
        self.outcomes.append((request_id, True, value))

    def refused(self, request_id: RequestId, failure: Any) -> None:
        """Record the error of a call."""
        self.outcomes.append((request_id, False, failure))

    def on_released(self) -> None:
        """Count."""
        self.released += 1

    def shown_error(self, error: Any) -> tuple[Any, str | None]:
        """Show everything, as text."""
        return f"{type(error).__name__}: {error}", None

    def drop_fields(self, shown: object, fault: BaseException) -> bool:
        """Return False: a text has no fields."""
        return False

    def describe(self, *args: Any) -> None:
        """Ignore it."""

    def make_stream(self, stream: IncomingStream) -> IncomingStream:
        """Return the stream itself."""
        return stream

    def make_reference(self, perspective: Any, object_id: ObjectId) -> Reference:
        """Make a reference that records its origin."""
        return Reference(perspective, object_id)

    # The methods that the hooks of the flavors use.

    def handle_message(self, route: Route, name: str, args: Expression, kw: Expression) -> Any:
        """Make a call, and serialize its result."""
        call, result = self.session.incoming.runner.run_hooked(route, name, args, kw)
        if not call.wants_answer:
            return [b"None"]
        return self.session.outbox.serialize(result, route.perspective, name, call.args, call.kw)

    @property
    def serializingPerspective(self) -> Any:
        """The perspective of the message that is being written."""
        transaction = self.session.translator.transaction
        return None if transaction is None else transaction.perspective

    @property
    def serializing_view(self) -> Any:
        """The same; there are no principals."""
        return self.serializingPerspective

    def registerReference(self, value: Any) -> ObjectId:
        """Export an object."""
        return self.session.translator.export(value, id(value))

    def publish_cache(self, value: Any) -> tuple[int, bool]:
        """Publish a cache."""
        return self.session.translator.publish(value, id(value))

    def note_observer(self, cache_id: int, observer: Any) -> None:
        """Note an observer."""
        self.session.translator.observe(cache_id, observer)

    def cacheLocally(self, cache_id: int, value: Any) -> None:
        """Hold a cache."""
        self.session.translator.remote_caches.add(cache_id, value)

    def refresh_cache(self, cache_id: int, value: Any) -> None:
        """Set a cache's new state."""
        self.session.translator.remote_caches.refresh(cache_id, value)

    def of(self, kind: type) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if type(event) is kind]

    def outcome(self, request_id: RequestId) -> Any:
        """The result or the error of an outgoing call."""
        for each, _, outcome in self.outcomes:
            if each == request_id:
                return outcome
        raise AssertionError(f"request {request_id} has no outcome among {self.outcomes}")

    def pending(self) -> Any:
        """The newest incoming call whose method returned an awaitable."""
        return self.of(CallPending)[-1].ticket


def make_end(policy: Policy, is_client: bool, **options: Any) -> Session:
    """Return one session whose host is a FakeHost, found as ``session.host``.

    By default it uses PB's dialects, whose bytes are specified outside this library.
    """
    host = FakeHost()
    options.setdefault("offered", EXPRESSION_DIALECTS)
    host.session = Session(host, policy, is_client=is_client, **options)
    return host.session


class SessionPair:
    """A client's and a server's session.

    Attributes:
        client, server: the sessions.
        client_host, server_host: their fake hosts.
        wire: all bytes that crossed, by sender.
    """

    def __init__(
        self,
        root: Any = None,
        *,
        policy: Policy = STRICT,
        client_policy: Policy | None = None,
        shake_hands: bool = True,
        **options: Any,
    ):
        self.client = make_end(client_policy or policy, True, **options)
        self.server = make_end(policy, False, **options)
        self.client_host: Any = self.client.host
        self.server_host: Any = self.server.host
        self.wire = {"client": b"", "server": b""}
        if root is not None:
            self.server.translator.exports.name(ROOT, root)
        self.client.start()
        self.server.start()
        if shake_hands:
            self.exchange()
            self.client_host.events.clear()
            self.client_host.outcomes.clear()
            self.server_host.events.clear()

    def exchange(self, chunk: int | None = None, seed: int | None = None) -> None:
        """Let bytes cross and be handled, until both ends have nothing more to send."""
        while self._cross("client", chunk, seed) | self._cross("server", chunk, seed):
            pass

    def _cross(self, name: str, chunk: int | None, seed: int | None) -> bool:
        sender, receiver = self.client, self.server
        if name == "server":
            sender, receiver = receiver, sender
        data = sender.data_to_send()
        self.wire[name] += data
        for piece in pieces(data, chunk, seed):
            receiver.receive(piece)
            while receiver.pump():
                pass
        return bool(data)

    def call(self, name: str, *args: Any, **kw: Any) -> Any:
        """Call a method of the root at the server, let it be answered, and return the outcome."""
        request_id = self.client.outgoing.call(ROOT, name, args, kw)
        self.exchange()
        return self.client_host.outcome(request_id)


class ManualScheduler:
    """Time and turns that pass when a test says so. There are no tasks.

    Attributes:
        clock: seconds since the beginning.
    """

    loop = create_task = begin_task = None
    stepped_loop = staticmethod(lambda: None)

    def __init__(self) -> None:
        self.clock = 0.0
        self._numbers = count()
        self._soon: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._later: list[tuple[float, int, _Timer]] = []

    def now(self) -> float:
        """Return the clock."""
        return self.clock

    def soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call in the next turn."""
        self._soon.append((f, args))

    soon_threadsafe = soon

    def later(self, delay: float, f: Callable[..., object], *args: Any) -> _Timer:
        """Call when the clock has been advanced by ``delay``."""
        timer = _Timer(lambda: f(*args))
        heapq.heappush(self._later, (self.clock + delay, next(self._numbers), timer))
        return timer

    timeout = later

    @property
    def waiting(self) -> int:
        """The number of timers that have neither fired nor been cancelled."""
        return sum(timer.call is not None for _, _, timer in self._later)

    def step(self) -> bool:
        """Take one turn: make the calls that are due, but not those that they schedule."""
        turn, self._soon = self._soon, deque()
        for f, args in turn:
            f(*args)
        return bool(turn)

    def run(self) -> None:
        """Take turns until no call is due."""
        while self.step():
            pass

    def advance(self, seconds: float) -> None:
        """Advance the time, and make the calls that become due."""
        self.clock += seconds
        while self._later and self._later[0][0] <= self.clock:
            heapq.heappop(self._later)[2].fire()
        self.run()


class _Timer:
    """A scheduled call."""

    def __init__(self, call: Callable[[], object]):
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Cancel it."""
        self.call = None

    def fire(self) -> None:
        """Make it, unless it was cancelled."""
        call, self.call = self.call, None
        if call is not None:
            call()


class FakeTransport(TransportPort):
    """A transport of a connection; a test reads its bytes.

    Args:
        scheduler: turns and time; None for none at all, as under Twisted's StringTransport.
        peer: the address of the other end.

    Attributes:
        writes: the written bytes, one entry for each write.
        unsent: how many bytes the peer has not read; set by a test.
        is_paused, is_losing, is_left, is_aborted: the requests of the protocol.
        is_closing: whether written bytes are dropped; set by a test.
        is_secure: whether it looks like TLS; set by a test.
        watched: the arguments of ``watch_peer``.
    """

    scheduler: Any = None
    on_drained: Any = None
    unsent, unsent_in_kernel = 0, staticmethod(lambda: None)
    is_closing = is_secure = reads_ahead = False
    is_unsent_exact = is_reading = True
    peer_certificate = proxy_address = None

    def __init__(self, scheduler: Any, peer: Any = None):
        self.scheduler = ImmediateScheduler() if scheduler is None else scheduler
        self.peer = peer
        self.watched: tuple[float, float] | None = None
        self.writes: list[bytes] = []
        self.is_paused = self.is_losing = self.is_left = self.is_aborted = False
        self._taken = 0

    def write(self, data: bytes) -> None:
        """Record the bytes."""
        self.writes.append(data)

    def take(self) -> bytes:
        """Return the bytes written since the last call."""
        fresh = self.writes[self._taken :]
        self._taken = len(self.writes)
        return b"".join(fresh)

    def loseConnection(self) -> None:
        """Record the request; the test ends the connection."""
        self.is_losing = True

    def leave(self, *, at_once: bool = False) -> None:
        """Record the request; the test ends the connection."""
        self.is_losing = self.is_left = True
        self.is_aborted |= at_once

    def abortConnection(self) -> None:
        """Record the request; the test ends the connection."""
        self.is_losing = self.is_aborted = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Do nothing: no producer is asked for bytes."""

    def unregisterProducer(self) -> None:
        """Do nothing."""

    def pause_reading(self) -> None:
        """Record the request."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Record the request."""
        self.is_paused = False

    @property
    def most_unsent(self) -> int:
        """The same: it is exact."""
        return self.unsent

    @property
    def peer_address(self) -> Any:
        """The address that the test has set."""
        return self.peer

    @property
    def is_private(self) -> bool:
        """Whether it looks like TLS, or like a connection within this machine."""
        return self.is_secure or is_local(self.peer)

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call it now."""
        callback()

    def watch_peer(self, silence: float, wait: float) -> None:
        """Record the request."""
        self.watched = silence, wait

    def verified_chain(self) -> tuple[Any, ...]:
        """Return an empty chain."""
        return ()

    def channel_binding(self) -> bytes | None:
        """Return None."""
        return None


class BrokerPair:
    """A client's and a server's Broker over fake transports.

    Args:
        root: the object that the server serves under the name ``root``.
        policy, client_policy: of the server, and of the client if it differs.
        scheduler: a ManualScheduler for both; default: a new one; False for none at all, as under
            Twisted's StringTransport.
        client_first: which side's transport is made first.

    Attributes:
        client, server: the brokers.
        root: the client's reference to the root.
        scheduler: the ManualScheduler, or None.
    """

    def __init__(
        self,
        root: Any = None,
        *,
        policy: Policy = PUBLISHED_WIRE,
        client_policy: Policy | None = None,
        scheduler: ManualScheduler | bool | None = None,
        client_first: bool = True,
        connect: bool = True,
    ):
        made = None if scheduler is False else scheduler or ManualScheduler()
        self.scheduler = made  # type: ignore[assignment]
        self.client = Broker(True, policy=client_policy or policy)
        self.server = Broker(False, policy=policy)
        self._transports = {
            broker: FakeTransport(self.scheduler, f"the {name}")
            for broker, name in ((self.client, "server"), (self.server, "client"))
        }
        if root is not None:
            self.server.setNameForLocal(ROOT, root)
        self.root = self.client.remoteForName(ROOT)
        if connect:
            self.connect(client_first)

    def connect(self, client_first: bool = True) -> None:
        """Give both their transports, and let them make the handshake."""
        order = [self.client, self.server]
        for broker in order if client_first else reversed(order):
            broker.makeConnection(self._transports[broker])
        self.exchange()

    def transport(self, broker: Broker) -> FakeTransport:
        """The transport of one side."""
        return self._transports[broker]

    def exchange(self, chunk: int | None = None, seed: int | None = None) -> None:
        """Let bytes cross and turns pass, until both sides are quiet."""
        busy = True
        while busy:
            busy = self.scheduler is not None and self.scheduler.step()
            for sender, receiver in (self.client, self.server), (self.server, self.client):
                data = self._transports[sender].take()
                if receiver.disconnected or self._transports[receiver].is_aborted:
                    continue
                for piece in pieces(data, chunk, seed):
                    receiver.dataReceived(piece)
                busy = busy or bool(data)

    def get(self, deferred: Any) -> Any:
        """Exchange, and return the result of a Deferred; its Failure if it failed."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.exchange()
        assert results, "the Deferred has no result"
        return results[0]

    def call(self, name: str, *args: Any, **kw: Any) -> Any:
        """Call a method of the root, and return its result or Failure."""
        return self.get(self.root.callRemote(name, *args, **kw))

    def cut(self, clean: bool = False) -> None:
        """End the connection at both sides."""
        for broker in (self.client, self.server):
            broker.connectionLost(Failure(ConnectionDone() if clean else ConnectionAborted()))
        if self.scheduler is not None:
            self.scheduler.run()

    def collect(self) -> None:
        """Collect garbage, and exchange the messages about it."""
        gc.collect()
        self.exchange()
