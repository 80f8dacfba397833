"""The client of the interoperability tests, with PB's published names.

Run as ``client.py WORLD PORTS LOGIN [--ca FILE] [--without SCENARIO …]``: PORTS is the line that
the server has printed, LOGIN is ``password`` or ``guest``. It runs its scenarios one after the
other. It prints one JSON line for each: its name and results, or the traceback of an error.
"""

from __future__ import annotations

import argparse
import gc
import json
import traceback
import weakref

import parcels
from describe import describe, text
from faults import CLASSES, dead, told, trapped
from guests import Draft, Listener, Score, Stowaway
from guide import Guide
from values import values
from world import credentials, defer, pb, reactor, util

SECONDS_A_SCENARIO = 10


@defer.inlineCallbacks
def login(guide):
    """The avatar is that of the user, and the server can call the mind."""
    factory = guide.connect()
    avatar = yield guide.login(factory, Listener())
    (who, _), greeting = yield defer.gatherResults(
        [avatar.callRemote("whoami"), avatar.callRemote("greet")]
    )
    factory.disconnect()
    return [who, greeting]


@defer.inlineCallbacks
def calls(guide):
    """Arguments and results keep value, type and sharing, in both directions."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    arrived = {}
    for name, value in values().items():
        there, back = yield avatar.callRemote("echo", value)
        arrived[name] = [there, describe(back)]
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def keywords(guide):
    """Keywords arrive as keywords, whatever their name."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    arrived = yield avatar.callRemote("keywords", 1, b"two", name="x", self_="y", é=(3,))
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def order(guide):
    """Calls run in the order in which they were made, also one-way calls."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    slow = avatar.callRemote("later", "late")
    one_way = [avatar.callRemote("append", number, pbanswer=False) for number in range(100)]
    both = [avatar.callRemote("append", number) for number in range(100, 200)]
    yield defer.gatherResults(both)
    numbers = yield avatar.callRemote("arrived")
    late = yield slow
    factory.disconnect()
    return [set(one_way) == {None}, numbers == list(range(200)), late]


@defer.inlineCallbacks
def callbacks(guide):
    """The server calls a client's object during the call and after it."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    listener = Listener()
    reply, back = yield avatar.callRemote("listen", listener)
    listener.events.append("answer")
    yield listener.heard_after
    counts = []
    for _ in range(3):
        counts.append((yield avatar.callRemote("keep", listener)))
    kept = yield avatar.callRemote("give_back")
    factory.disconnect()
    return [
        reply,
        back is listener,
        listener.events,
        counts,
        [item is listener for item in kept],
    ]


@defer.inlineCallbacks
def copies(guide):
    """Copies cross both ways, with the state that their owner chose for the reader."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    first, second = yield avatar.callRemote("note")
    note = [type(first).__name__, first is second, describe(dict(sorted(vars(first).items())))]
    draft = yield avatar.callRemote("take", Draft("plan", [1, 2], Listener()))
    there, back = yield avatar.callRemote("parcel", parcels.two())
    factory.disconnect()
    return {
        "note": note,
        "draft": draft,
        "parcel": [there, parcels.told(back), parcels.told(back.inside)],
    }


@defer.inlineCallbacks
def caches(guide):
    """A cache is updated until it is dropped, and is sent back as the original."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    board = yield avatar.callRemote("board")
    again = yield avatar.callRemote("board")
    seen = [type(board).__name__, board.reader, list(board.lines), board.lines is again.lines]
    numbers = []
    for line in ("second", "third", "fourth"):
        numbers.append((yield avatar.callRemote("write", line)))
    is_board = yield avatar.callRemote("is_board", board)
    seen += [numbers, list(again.lines), is_board]
    del board, again
    gc.collect()
    seen.append((yield avatar.callRemote("board_stopped")))
    factory.disconnect()
    return seen


@defer.inlineCallbacks
def caches_of_client(guide):
    """The server caches an object from the client, which learns of its release."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    score = Score()
    kind = yield avatar.callRemote("hold", score)
    counts = []
    for _ in range(3):
        counts.append((yield score.score()))
    held = yield avatar.callRemote("held")
    yield avatar.callRemote("forget")
    stopped = yield score.stopped
    factory.disconnect()
    return [kind, counts, held, stopped]


@defer.inlineCallbacks
def views(guide):
    """A view gets the perspective of the connection that it was given to."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    _, number = yield avatar.callRemote("whoami")
    room = yield avatar.callRemote("room")
    arrived = [
        (yield room.callRemote("who", 1, word="two")),
        (yield room.callRemote("number")) == number,
        (yield room.callRemote("ask", Listener())),
        (yield avatar.callRemote("take_room", room)),
        (yield avatar.callRemote("show_room", Listener())),
    ]
    other = yield avatar.callRemote("room_of", "bob")
    arrived.append((yield other.callRemote("who")))
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def references(guide):
    """An object given three times lives until its holder has dropped it, at both ends."""
    factory = guide.connect()
    avatar = yield guide.login(factory, Listener())
    arrived = yield given_and_dropped(avatar)
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def decrefs(guide):
    """For each received reference its owner is notified once it is dropped."""
    factory = guide.connect("counted")
    avatar = yield guide.login(factory, Listener())
    there, here = (yield avatar.callRemote("decrefs")), avatar.broker.decrefs
    yield given_and_dropped(avatar)
    there_after, here_after = (yield avatar.callRemote("decrefs")), avatar.broker.decrefs
    factory.disconnect()
    return [
        [after - before for before, after in zip(there, there_after, strict=True)],
        [after - before for before, after in zip(here, here_after, strict=True)],
    ]


@defer.inlineCallbacks
def given_and_dropped(avatar):
    """Let both ends give an object three times and drop it; return the results."""
    tokens = []
    for _ in range(3):
        tokens.append((yield avatar.callRemote("token")))
    are_equal = tokens[0] == tokens[1] == tokens[2]
    touched = yield tokens[1].callRemote("touch")
    del tokens[:]
    gc.collect()
    gone = yield avatar.callRemote("token_gone")

    collected = defer.Deferred()
    listener = Listener()
    reference = weakref.ref(listener, lambda reference: collected.callback("gone"))
    for _ in range(3):
        yield avatar.callRemote("keep", listener)
    del listener
    gc.collect()
    is_kept = reference() is not None
    yield avatar.callRemote("forget")
    gc.collect()
    forgotten = yield collected
    return [are_equal, touched, gone, is_kept, forgotten]


@defer.inlineCallbacks
def logout(guide):
    """Dropping the avatar logs it out, once; the end of the connection does not do it again."""
    factory = guide.connect()
    other = guide.connect()
    avatar = yield guide.login(factory, Listener())
    witness = yield guide.login(other)
    _, number = yield avatar.callRemote("whoami")
    del avatar
    gc.collect()
    left = yield witness.callRemote("left", number)
    factory.disconnect()
    gone = yield witness.callRemote("gone", number)
    other.disconnect()
    return [left, gone]


@defer.inlineCallbacks
def server_hangs_up(guide):
    """The end of the connection fails pending calls, is notified once, and logs the avatar out."""
    factory = guide.connect()
    other = guide.connect()
    avatar = yield guide.login(factory, Listener())
    witness = yield guide.login(other)
    _, number = yield avatar.callRemote("whoami")
    told_of, unwanted = [], []
    avatar.notifyOnDisconnect(told_of.append)
    avatar.notifyOnDisconnect(unwanted.append)
    avatar.dontNotifyOnDisconnect(unwanted.append)
    pending = avatar.callRemote("never").addErrback(trapped)
    yield avatar.callRemote("hang_up")
    kind = yield pending
    logouts = yield witness.callRemote("gone", number)
    other.disconnect()
    return [kind, [item is avatar for item in told_of], len(unwanted), dead(avatar), logouts]


@defer.inlineCallbacks
def client_hangs_up(guide):
    """The server's pending call fails, it is notified once, and the avatar is logged out."""
    factory = guide.connect()
    other = guide.connect()
    avatar = yield guide.login(factory, Listener())
    witness = yield guide.login(other)
    _, number = yield avatar.callRemote("whoami")
    yield avatar.callRemote("call_me", Listener())
    pending = avatar.callRemote("never").addErrback(trapped)
    factory.disconnect()
    kind = yield pending
    cut = yield witness.callRemote("cut", number)
    logouts = yield witness.callRemote("gone", number)
    other.disconnect()
    return [kind, dead(avatar), cut, logouts]


def unexpected(value):
    """Return a text in place of an error."""
    return ["no error", describe(value), ""]


@defer.inlineCallbacks
def logins_refused(guide):
    """A refused login is trapped by its class."""
    arrived = {}
    for name, port, wrong in (
        ("wrong password", "portal", credentials.UsernamePassword(b"alice", b"open")),
        ("unknown user", "portal", credentials.UsernamePassword(b"mallory", b"sesame")),
        ("denied", "portal", credentials.UsernamePassword(b"denied", b"sesame")),
        ("unhandled", "members", credentials.Anonymous()),
    ):
        factory = guide.connect(port)
        kind, type_name, _ = yield factory.login(wrong).addCallbacks(unexpected, told)
        arrived[name] = [kind, type_name]
        factory.disconnect()
    factory = guide.connect()
    arrived["fault of the realm"] = yield guide.login(factory, "broken").addCallbacks(
        unexpected, told
    )
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def errors(guide):
    """An error of a method at the server is trapped by its class; its text arrives."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    arrived = {}
    for kind in (*CLASSES, "unknown"):
        soon = yield avatar.callRemote("fail", kind).addCallbacks(unexpected, told)
        late = yield avatar.callRemote("fail_later", kind).addCallbacks(unexpected, told)
        arrived[kind] = [soon, late]
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def errors_of_client(guide):
    """An error of a method at the client is trapped at the server, and also when passed on."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    arrived = {}
    listener = Listener()
    for kind in (*CLASSES, "unknown"):
        provoked = yield avatar.callRemote("provoke", listener, kind)
        relayed = yield avatar.callRemote("relay", listener, kind).addCallbacks(unexpected, told)
        arrived[kind] = [provoked, relayed]
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def errors_raised(guide):
    """In a generator, an exception not known here is a RemoteError that names its type."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    try:
        yield avatar.callRemote("fail", "unknown")
    except pb.RemoteError as exc:
        arrived = [type(exc).__name__, text(exc.remoteType)]
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def errors_of_dispatch(guide):
    """A call that the server does not run fails, and no other call does."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    desk = yield avatar.callRemote("desk")
    room = yield avatar.callRemote("room")
    arrived = {}
    for name, refused in (
        ("no method of a reference", desk.callRemote("nothing")),
        ("no method of an avatar", avatar.callRemote("nothing")),
        ("no method of a view", room.callRemote("nothing")),
        ("an attribute is no method", desk.callRemote("__class__")),
        ("wrong arguments", avatar.callRemote("whoami", 1, 2)),
        ("wrong keyword", avatar.callRemote("echo", valeu=1)),
        ("unregistered copy", avatar.callRemote("echo", Stowaway())),
        ("a class", avatar.callRemote("echo", Stowaway)),
    ):
        kind, type_name, _ = yield refused.addCallbacks(unexpected, told)
        arrived[name] = [kind, type_name]
    arrived["no method of the client's"] = yield avatar.callRemote("call", Listener(), "nothing")
    arrived["and then"] = yield avatar.callRemote("later", "still there")
    factory.disconnect()
    return arrived


@defer.inlineCallbacks
def pages(guide):
    """A pager sends a long text in pieces."""
    factory = guide.connect()
    avatar = yield guide.login(factory)
    desk = yield avatar.callRemote("desk")
    text = bytes(range(256)) * 300
    pieces = yield util.getAllPages(desk, "pages", text, 10000)
    factory.disconnect()
    return [[len(piece) for piece in pieces], b"".join(pieces) == text]


@defer.inlineCallbacks
def root(guide):
    """A server without login returns its root."""
    factory = guide.connect("root")
    door = yield factory.getRootObject()
    there, back = yield door.callRemote("echo", ("a", b"b"))
    listener = Listener()
    reply = yield door.callRemote("listen", listener)
    refused = yield door.callRemote("refuse").addCallbacks(unexpected, told)
    missing = yield door.callRemote("nothing").addCallbacks(unexpected, trapped)
    again = yield factory.getRootObject()
    same = again == door
    factory.disconnect()
    return [there, describe(back), reply, listener.events, refused, missing, same]


SCENARIOS = (
    login,
    calls,
    keywords,
    order,
    callbacks,
    copies,
    caches,
    caches_of_client,
    views,
    references,
    decrefs,
    logout,
    server_hangs_up,
    client_hangs_up,
    logins_refused,
    errors,
    errors_of_client,
    errors_raised,
    errors_of_dispatch,
    pages,
    root,
)


@defer.inlineCallbacks
def run(guide, unwanted):
    """Run the scenarios one after the other and print the results of each."""
    for scenario in SCENARIOS:
        name = scenario.__name__
        if name in unwanted:
            continue
        line = {"scenario": name}
        try:
            line["arrived"] = yield scenario(guide).addTimeout(SECONDS_A_SCENARIO, reactor)
        except Exception:
            line["failed"] = traceback.format_exc()
        print(json.dumps(line), flush=True)
    reactor.stop()


def main():
    """Run the scenarios of the command line, then end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("world", choices=["twisted", "ours"])
    parser.add_argument("ports")
    parser.add_argument("login", choices=["password", "guest"])
    parser.add_argument("--ca")
    parser.add_argument("--without", nargs="+", default=[])
    options = parser.parse_args()
    reactor.callWhenRunning(run, Guide(options), options.without)
    reactor.run()


main()
