"""The client of a lobby; run as ``lobby_client.py WORLD PORTS SERVER``; prints its results."""

# ruff: noqa: D102, D103 - the test of a scenario describes it

from __future__ import annotations

import gc
import json
import sys
import traceback
import weakref

import lobby_things as things
from world import credentials, defer, pb, reactor

HOST = "127.0.0.1"
PORTS = json.loads(sys.argv[2])


@defer.inlineCallbacks
def login(ear):
    factory = pb.PBClientFactory()
    reactor.connectTCP(HOST, PORTS["lobby"], factory)
    guest = yield factory.login(credentials.UsernamePassword(b"ann", b"sesame"), ear)
    return guest


def named(*values):
    return [type(value).__name__ for value in values]


@defer.inlineCallbacks
def mind_and_avatar(guest, ear):
    return [named(guest), (yield guest.callRemote("mind"))]


@defer.inlineCallbacks
def to_and_fro(guest, ear):
    table = yield guest.join("blue")
    said = yield table.callRemote("say", "hello")
    mine = yield guest.callRemote("is_mine", table)
    again = yield guest.join("blue")
    same = [again.luid == table.luid, again is table, again.broker is guest.broker]
    return [named(table), table.name, (yield table.callRemote("name")), said, ear.heard, mine, same]


@defer.inlineCallbacks
def ways_of_reading(guest, ear):
    seat, bell, dice = yield guest.callRemote("things")
    seen = named(seat, bell, dice)
    seen += [seat.made, seat.state, seat.after, dice.made]
    seen += [seat.doRefCount, bell.doRefCount, dice.doRefCount, seat.perspective]
    seen.append((yield seat.callRemote("row")))
    seen.append((yield bell.callRemote("ring")))
    seen.append((yield dice.callRemote("roll")))
    return seen


@defer.inlineCallbacks
def one_in_a_message(guest, ear):
    first, second = yield guest.callRemote("dice")
    return [named(first), first is second, (yield second.callRemote("roll"))]


@defer.inlineCallbacks
def counted(guest, ear):
    tables = []
    for _ in range(3):
        tables.append((yield guest.join("green")))
    del tables[:2]
    gc.collect()
    seen = [(yield guest.callRemote("alive", "green")), (yield tables[0].callRemote("name"))]
    tables.clear()
    gc.collect()
    seen.append((yield guest.callRemote("gone", "green")))
    kept = yield guest.callRemote("things")
    kept.clear()
    gc.collect()
    seen.append((yield guest.callRemote("gone", "seat")))
    seen.append((yield guest.callRemote("gone", "dice")))
    # This one was not counted.
    seen.append((yield guest.callRemote("alive", "bell")))
    return seen


@defer.inlineCallbacks
def from_the_client(guest, ear):
    other = things.Ear()
    gone = defer.Deferred()
    watched = weakref.ref(other, lambda reference: reactor.callLater(0, gone.callback, "gone"))
    kept = yield guest.callRemote("keep", other, other)
    del other
    gc.collect()
    seen = [kept, watched() is not None]
    yield guest.callRemote("forget")
    seen.append((yield gone))
    return seen


@defer.inlineCallbacks
def the_end(guest, ear):
    table = yield guest.join("red")
    ended, told = defer.Deferred(), defer.Deferred()
    guest.broker.notifyOnDisconnect(lambda: ended.callback(None))
    table.notifyOnDisconnect(lambda reference: told.callback(reference is table))
    guest.broker.transport.loseConnection()
    yield ended
    seen = [(yield told)]
    try:
        yield table.callRemote("name")
    except pb.DeadReferenceError as error:
        seen.append(type(error).__name__)
    return seen


class AnyReference(pb.RemoteReference):
    """The class of all references, if a program registers it."""


@defer.inlineCallbacks
def class_of_all_references(guest, ear):
    pb.setUnjellyableForClass("remote", AnyReference)
    factory = pb.PBServerFactory(Echo())
    port = reactor.listenTCP(0, factory, interface=HOST)
    client = pb.PBClientFactory()
    reactor.connectTCP(HOST, port.getHost().port, client)
    root = yield client.getRootObject()
    types = yield root.callRemote("told", pb.Referenceable(), things.Ear())
    client.disconnect()
    yield port.stopListening()
    return types


class Echo(pb.Root):
    """Returns a description of its arguments."""

    def remote_told(self, value, other):
        return named(value, other)


SCENARIOS = (
    mind_and_avatar,
    to_and_fro,
    ways_of_reading,
    one_in_a_message,
    counted,
    from_the_client,
    the_end,
    class_of_all_references,
)


@defer.inlineCallbacks
def run():
    for scenario in SCENARIOS:
        line = {"scenario": scenario.__name__}
        guest = None
        try:
            ear = things.Ear()
            guest = yield login(ear)
            line["seen"] = yield scenario(guest, ear).addTimeout(8, reactor)
        except Exception:
            line["failed"] = traceback.format_exc()
        print(json.dumps(line), flush=True)
        if guest is not None:
            guest.broker.transport.loseConnection()
    reactor.stop()


reactor.callWhenRunning(run)
reactor.run()
