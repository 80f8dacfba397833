"""Objects that cross: references and their lifetimes, copies, caches and views."""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

import asyncio
import dataclasses
import gc
import weakref
from collections.abc import Callable
from typing import Any

import broker
import cred


@broker.register
@dataclasses.dataclass
class Parcel(broker.Copyable, broker.RemoteCopy):
    """Both ends of a copy."""

    content: Any
    weight: int = 1


class Pond(broker.Cacheable):
    """An object of the server that clients cache."""

    def __init__(self, count: int):
        self.count = count
        self.observers: list[Any] = []
        self.stopped: list[Any] = []

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        self.observers.append(observer)
        return {"count": self.count, "changes": []}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        self.observers.remove(observer)
        self.stopped.append(observer)

    def change(self, count: int) -> list[Any]:
        self.count = count
        return [observer.callRemote("changed", count) for observer in self.observers]


class RemotePond(broker.RemoteCache):
    """A client's cache of a Pond."""

    count: int
    changes: list[int]

    def observe_changed(self, count: int) -> int:
        self.count = count
        self.changes.append(count)
        return -count


broker.register(RemotePond, name=broker.failure.qual(Pond))


class Sign(broker.Viewable):
    """Each perspective sees it in its own way."""

    def view_read(self, perspective: Any, /, *args: Any, **kw: Any) -> Any:
        return [perspective.name, args, kw]


class Thing(broker.Referenceable):
    """Sent by reference."""

    def remote_name(self) -> str:
        return "thing"


class Server(broker.Root):
    """The methods that the tests of this file call."""

    def __init__(self) -> None:
        self.pond = Pond(1)
        self.thing: Thing | None = Thing()
        self.kept: list[Any] = []

    def remote_double(self, parcel: Any) -> Any:
        assert type(parcel) is Parcel
        return Parcel([parcel, parcel], parcel.weight * 2)

    def remote_pond(self) -> Any:
        return [self.pond, self.pond]

    def remote_is_pond(self, cache: Any) -> bool:
        return cache is self.pond

    def remote_thing(self) -> Any:
        return self.thing

    def remote_keep(self, *values: Any) -> None:
        self.kept.extend(values)

    def remote_drop(self) -> None:
        self.kept.clear()


async def until(condition: Callable[[], Any]) -> None:
    """Wait for an effect at the other end; the test's own time limit ends a long wait."""
    while not condition():
        await asyncio.sleep(0.001)


async def test_copies(face: Any) -> None:
    """A registered dataclass arrives as its class, with its shared parts shared."""
    link = await face.connect(await face.serve(Server()))
    copy = await face.outcome(link.reference.callRemote("double", Parcel("x", 3)))
    assert copy == Parcel([Parcel("x", 3), Parcel("x", 3)], 6)
    assert copy.content[0] is copy.content[1]


async def test_cache(face: Any) -> None:
    """A cache receives three changes; it is one object, even received twice, or sent back."""
    root = Server()
    link = await face.connect(await face.serve(root))
    cache, same = await face.outcome(link.reference.callRemote("pond"))
    assert (type(cache), cache.count, cache is same) == (RemotePond, 1, True)
    for count in (2, 3, 4):
        (told,) = root.pond.change(count)
        assert await face.outcome(told) == -count
    assert (cache.count, cache.changes) == (4, [2, 3, 4])
    assert await face.outcome(link.reference.callRemote("is_pond", cache)) is True


async def test_cache_released(face: Any) -> None:
    """A cache that its holder drops is unobserved once, automatically; it can be sent again."""
    root = Server()
    link = await face.connect(await face.serve(root))
    held = await face.outcome(link.reference.callRemote("pond"))
    assert len(root.pond.observers) == 1
    held.clear()
    gc.collect()
    await until(lambda: root.pond.stopped)
    assert (len(root.pond.observers), len(root.pond.stopped)) == (0, 1)
    await until(lambda: not len(link.near.session.translator.remote_caches))
    held = await face.outcome(link.reference.callRemote("pond"))
    (told,) = root.pond.change(7)
    assert await face.outcome(told) == -7
    assert held[0].changes == [7]
    await link.close()
    assert (len(root.pond.observers), len(root.pond.stopped)) == (0, 2)


async def test_cache_and_disconnect(face: Any) -> None:
    """When its connection ends, a held cache is unobserved exactly once."""
    root = Server()
    link = await face.connect(await face.serve(root))
    cache, _ = await face.outcome(link.reference.callRemote("pond"))
    await link.close()
    assert (len(root.pond.observers), len(root.pond.stopped)) == (0, 1)
    assert cache.count == 1, "what was last known stays readable"


async def test_two_connections_follow(face: Any) -> None:
    """Two clients hold one cacheable; when one disconnects, the other still gets changes."""
    root = Server()
    server = await face.serve(root)
    first, second = [await face.connect(server) for _ in range(2)]
    caches = [
        (await face.outcome(link.reference.callRemote("pond")))[0] for link in (first, second)
    ]
    for told in root.pond.change(5):
        await face.outcome(told)
    await first.close()
    (told,) = root.pond.change(6)
    await face.outcome(told)
    assert [cache.changes for cache in caches] == [[5], [5, 6]]


async def test_reference_is_one(face: Any) -> None:
    """The same object received twice is the same reference, and is counted twice."""
    link = await face.connect(await face.serve(Server()))
    first = await face.outcome(link.reference.callRemote("thing"))
    second = await face.outcome(link.reference.callRemote("thing"))
    assert first is second
    assert await face.outcome(first.callRemote("name")) == "thing"


async def test_reference_released(face: Any) -> None:
    """A dropped reference is released at its owner without a call, even if received many times."""
    root = Server()
    link = await face.connect(await face.serve(root))
    held = [await face.outcome(link.reference.callRemote("thing")) for _ in range(3)]
    watch = weakref.ref(root.thing)
    root.thing = None
    assert watch() is not None, "the client holds it"
    del held
    gc.collect()
    await until(lambda: watch() is None)
    assert link.far.session.translator.exports.names().keys() == {b"root"}


async def test_callback_released(face: Any) -> None:
    """An object that the client sent is released when the server drops it."""
    link = await face.connect(await face.serve(Server()))
    mine = Thing()
    await face.outcome(link.reference.callRemote("keep", mine, mine))
    watch = weakref.ref(mine)
    del mine
    gc.collect()
    assert watch() is not None, "the server holds it"
    await face.outcome(link.reference.callRemote("drop"))
    gc.collect()
    await until(lambda: watch() is None)


async def test_reference_of_another_connection(face: Any) -> None:
    """A reference cannot be sent over another connection: the call fails, nothing is written."""
    server = await face.serve(Server())
    first, second = [await face.connect(server) for _ in range(2)]
    thing = await face.outcome(first.reference.callRemote("thing"))
    before = second.near.session.stats.bytes_sent
    error = await face.trapped(second.reference.callRemote("keep", thing), broker.CannotJelly)
    assert "another connection" in str(error)
    assert second.near.session.stats.bytes_sent == before
    assert len(second.near.session.outgoing.open_calls) == 0


async def test_views(face: Any) -> None:
    """A viewable is called with the perspective that it was sent to, whatever the wire says."""

    class Member(broker.Avatar):
        def __init__(self, name: str):
            self.name = name

        def perspective_sign(self) -> Any:
            return [sign, sign]

    sign = Sign()

    @broker.realm
    def members(avatar_id: Any, mind: Any) -> Member:
        return Member(avatar_id if isinstance(avatar_id, str) else avatar_id.decode())

    checker = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="a", bob="b")
    server = await face.serve(cred.Portal(members, [checker]))
    for name in ("alice", "bob"):
        link = await face.connect(server, cred.UsernamePassword(name, name[0]))
        view, same = await face.outcome(link.reference.callRemote("sign"))
        assert view is same
        read = await face.outcome(view.callRemote("read", 1, perspective="eve"))
        assert read == [name, (1,), {"perspective": "eve"}]


async def test_subscribers(face: Any) -> None:
    """An event reaches every subscriber in order; one that has disconnected is removed."""
    subscribers = broker.Subscribers()

    class Board(broker.Root):
        def remote_subscribe(self, listener: Any) -> None:
            subscribers.add(listener)

    class Listener(broker.Referenceable):
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def remote_event(self, number: int) -> None:
            self.heard.append(number)

    server = await face.serve(Board())
    links = [await face.connect(server) for _ in range(3)]
    listeners = [Listener() for _ in links]
    for link, listener in zip(links, listeners, strict=True):
        await face.outcome(link.reference.callRemote("subscribe", listener))
    subscribers.send("event", 1)
    subscribers.send("event", 2)
    await until(lambda: all(listener.heard == [1, 2] for listener in listeners))
    await links[0].close()
    assert len(subscribers) == 2
    subscribers.send("event", 3)
    await until(lambda: all(listener.heard == [1, 2, 3] for listener in listeners[1:]))
    assert listeners[0].heard == [1, 2]


class Keeper(broker.Root):
    """Has methods that drop their arguments, and then wait."""

    def __init__(self) -> None:
        self.gate: Any = broker.defer.Deferred()
        self.given: list[Any] = []

    async def remote_by_await(self, thing: Any) -> None:
        self.given.append(weakref.ref(thing))
        del thing
        await self.gate

    @broker.defer.inlineCallbacks
    def remote_by_yield(self, thing: Any) -> Any:
        self.given.append(weakref.ref(thing))
        del thing
        yield self.gate

    def remote_thing(self) -> Thing:
        return Thing()

    def remote_fault(self) -> None:
        raise broker.Error("on purpose")


async def test_what_is_dropped_is_released_at_once(face: Any) -> None:
    """Objects dropped by a waiting method or caller are released at their owner, without the gc."""
    keeper, errors = Keeper(), []
    link = await face.connect(await face.serve(keeper))

    @broker.defer.inlineCallbacks
    def work() -> Any:
        thing = yield link.reference.callRemote("thing")
        assert len(link.far.session.translator.exports) == 1
        del thing
        try:
            yield link.reference.callRemote("fault")
        except broker.Error as error:
            errors.append(weakref.ref(error))
        yield keeper.gate

    gc.collect()
    gc.disable()
    try:
        calls = [link.reference.callRemote(name, Thing()) for name in ("by_await", "by_yield")]
        calls.append(work())
        await until(lambda: errors and len(keeper.given) == 2)
        for end in (link.near, link.far):
            await until(lambda end=end: not len(end.session.translator.exports))
        assert [given() for given in (*keeper.given, *errors)] == [None] * 3
    finally:
        gc.enable()
    keeper.gate.callback(None)
    for call in calls:
        await call
