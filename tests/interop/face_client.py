"""The client of the interoperability tests with the asyncio API: ``connect`` and ``await``.

Run as ``face_client.py face PORTS LOGIN [--ca FILE] [--without SCENARIO …]``. A scenario with the
name of one of ``client.py`` must have the same results.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import traceback
import weakref

import parcels
from describe import describe
from faults import CLASSES, dead, told, trapped
from guests import Draft, Listener, Score, Stowaway
from values import values
from world import util

from broker import STRICT, TLS, PBConnectionLost, RemoteError, connect
from cred.credentials import Anonymous, UsernamePassword

SECONDS_A_SCENARIO = 10
# The only login that Twisted's servers know, besides the anonymous one.
POLICY = STRICT.but(challenge_login=True)


class Guide:
    """Opens connections as the command line says."""

    def __init__(self, options):
        self.ports = json.loads(options.ports)
        self.is_guest = options.login == "guest"
        self.tls = TLS.client(ca=options.ca) if options.ca else None

    def connect(self, credentials=None, mind=None, port="portal"):
        """Return the connection to be made, with these credentials."""
        scheme = "pbs" if self.tls else "pb"
        address = f"{scheme}://127.0.0.1:{self.ports[port]}"
        return connect(address, credentials, mind=mind, tls=self.tls, policy=POLICY)

    def login(self, mind=None):
        """Return the connection to be made, with the credentials of the command line."""
        credentials = Anonymous() if self.is_guest else UsernamePassword("alice", "sesame")
        return self.connect(credentials, mind)


async def login(guide):
    """The avatar is that of the user, and the server can call the mind."""
    async with guide.login(Listener()) as connection:
        avatar = connection.avatar
        async with asyncio.TaskGroup() as group:
            who = group.create_task(avatar.callRemote("whoami"))
            greeting = group.create_task(avatar.callRemote("greet"))
    return [who.result()[0], greeting.result()]


async def calls(guide):
    """Arguments and results keep value, type and sharing, in both directions."""
    arrived = {}
    async with guide.login() as connection:
        for name, value in values().items():
            there, back = await connection.avatar.callRemote("echo", value)
            arrived[name] = [there, describe(back)]
    return arrived


async def keywords(guide):
    """Keywords arrive as keywords, whatever their name."""
    async with guide.login() as connection:
        return await connection.avatar.callRemote(
            "keywords", 1, b"two", name="x", self_="y", é=(3,)
        )


async def order(guide):
    """Calls run in the order in which they were made, also one-way calls."""
    async with guide.login() as connection:
        avatar = connection.avatar
        slow = avatar.callRemote("later", "late")
        one_way = [avatar.send("append", number) for number in range(100)]
        await asyncio.gather(*[avatar.callRemote("append", n) for n in range(100, 200)])
        numbers = await avatar.callRemote("arrived")
        return [set(one_way) == {None}, numbers == list(range(200)), await slow]


async def callbacks(guide):
    """The server calls a client's object during the call and after it."""
    async with guide.login() as connection:
        avatar = connection.avatar
        listener = Listener()
        # By a callback, since a task resumes a turn after messages received with the answer.
        answer = avatar.callRemote("listen", listener).addCallback(noted, listener)
        reply, back = await answer
        await listener.heard_after
        counts = [await avatar.callRemote("keep", listener) for _ in range(3)]
        kept = await avatar.callRemote("give_back")
    return [
        reply,
        back is listener,
        listener.events,
        counts,
        [item is listener for item in kept],
    ]


async def copies(guide):
    """Copies cross both ways, with the state that their owner chose for the reader."""
    async with guide.login() as connection:
        avatar = connection.avatar
        first, second = await avatar.callRemote("note")
        note = [type(first).__name__, first is second, describe(dict(sorted(vars(first).items())))]
        draft = await avatar.callRemote("take", Draft("plan", [1, 2], Listener()))
        there, back = await avatar.callRemote("parcel", parcels.two())
    return {
        "note": note,
        "draft": draft,
        "parcel": [there, parcels.told(back), parcels.told(back.inside)],
    }


async def caches(guide):
    """A cache is updated until it is dropped, and is sent back as the original."""
    async with guide.login() as connection:
        avatar = connection.avatar
        board = await avatar.callRemote("board")
        again = await avatar.callRemote("board")
        seen = [type(board).__name__, board.reader, list(board.lines), board.lines is again.lines]
        numbers = [await avatar.callRemote("write", line) for line in ("second", "third", "fourth")]
        is_board = await avatar.callRemote("is_board", board)
        seen += [numbers, list(again.lines), is_board]
        del board, again
        gc.collect()
        seen.append(await avatar.callRemote("board_stopped"))
    return seen


async def caches_of_client(guide):
    """The server caches an object from the client, which learns of its release."""
    async with guide.login() as connection:
        avatar = connection.avatar
        score = Score()
        kind = await avatar.callRemote("hold", score)
        counts = [await score.score() for _ in range(3)]
        held = await avatar.callRemote("held")
        await avatar.callRemote("forget")
        return [kind, counts, held, await score.stopped]


async def views(guide):
    """A view gets the perspective of the connection that it was given to."""
    async with guide.login() as connection:
        avatar = connection.avatar
        _, number = await avatar.callRemote("whoami")
        room = await avatar.callRemote("room")
        arrived = [
            await room.callRemote("who", 1, word="two"),
            await room.callRemote("number") == number,
            await room.callRemote("ask", Listener()),
            await avatar.callRemote("take_room", room),
            await avatar.callRemote("show_room", Listener()),
        ]
        other = await avatar.callRemote("room_of", "bob")
        return [*arrived, await other.callRemote("who")]


async def references(guide):
    """An object given three times lives until its holder has dropped it, at both ends."""
    async with guide.login(Listener()) as connection:
        avatar = connection.avatar
        tokens = [await avatar.callRemote("token") for _ in range(3)]
        are_equal = tokens[0] == tokens[1] == tokens[2]
        touched = await tokens[1].callRemote("touch")
        del tokens
        gc.collect()
        gone = await avatar.callRemote("token_gone")

        collected = asyncio.Event()
        listener = Listener()
        reference = weakref.ref(listener, lambda reference: collected.set())
        for _ in range(3):
            await avatar.callRemote("keep", listener)
        del listener
        gc.collect()
        is_kept = reference() is not None
        await avatar.callRemote("forget")
        gc.collect()
        await collected.wait()
        return [are_equal, touched, gone, is_kept, "gone"]


async def server_hangs_up(guide):
    """The end of the connection fails pending calls, is notified once, and logs the avatar out."""
    async with guide.login() as witness:
        connection = await guide.login(Listener())
        avatar = connection.avatar
        _, number = await avatar.callRemote("whoami")
        told_of, unwanted = [], []
        avatar.notifyOnDisconnect(told_of.append)
        avatar.notifyOnDisconnect(unwanted.append)
        avatar.dontNotifyOnDisconnect(unwanted.append)
        pending = asyncio.ensure_future(failed(avatar.callRemote("never")))
        await avatar.callRemote("hang_up")
        kind = await pending
        await connection.wait_closed()
        logouts = await witness.avatar.callRemote("gone", number)
    return [kind, [item is avatar for item in told_of], len(unwanted), dead(avatar), logouts]


async def client_hangs_up(guide):
    """The server's pending call fails, it is notified once, and the avatar is logged out."""
    async with guide.login() as witness:
        async with guide.login(Listener()) as connection:
            avatar = connection.avatar
            _, number = await avatar.callRemote("whoami")
            await avatar.callRemote("call_me", Listener())
            pending = asyncio.ensure_future(failed(avatar.callRemote("never")))
        kind = await pending
        cut = await witness.avatar.callRemote("cut", number)
        logouts = await witness.avatar.callRemote("gone", number)
    return [kind, dead(avatar), cut, logouts]


def noted(answer, listener):
    """Record the answer among the listener's events, and pass it on."""
    listener.events.append("answer")
    return answer


async def failed(call):
    """Return the name of the class of connection error that the call ends with."""
    try:
        await call
    except PBConnectionLost as exc:
        return type(exc).__name__
    return None


def unexpected(value):
    """Return a text in place of an error."""
    return ["no error", describe(value), ""]


async def logins_raised(guide):
    """A refused login raises the error of its class, which gives the reason."""
    arrived = {}
    for name, port, wrong, mind in (
        ("wrong password", "portal", UsernamePassword("alice", "open"), None),
        ("unknown user", "portal", UsernamePassword("mallory", "sesame"), None),
        ("denied", "portal", UsernamePassword("denied", "sesame"), None),
        ("unhandled", "members", Anonymous(), None),
        ("fault of the realm", "portal", UsernamePassword("alice", "sesame"), "broken"),
        ("fault of the realm, guest", "portal", Anonymous(), "broken"),
        ("login at a root", "root", UsernamePassword("alice", "sesame"), None),
        ("login of a guest at a root", "root", Anonymous(), None),
    ):
        try:
            async with guide.connect(wrong, mind, port):
                arrived[name] = "no error"
        except Exception as exc:
            arrived[name] = [type(exc).__name__, getattr(exc, "remoteType", None)]
    return arrived


async def errors(guide):
    """An error of a method at the server is trapped by its class; its text arrives."""
    arrived = {}
    async with guide.login() as connection:
        avatar = connection.avatar
        for kind in (*CLASSES, "unknown"):
            soon = await avatar.callRemote("fail", kind).addCallbacks(unexpected, told)
            late = await avatar.callRemote("fail_later", kind).addCallbacks(unexpected, told)
            arrived[kind] = [soon, late]
    return arrived


async def errors_of_client(guide):
    """An error of a method at the client is trapped at the server, and also when passed on."""
    arrived = {}
    listener = Listener()
    async with guide.login() as connection:
        avatar = connection.avatar
        for kind in (*CLASSES, "unknown"):
            provoked = await avatar.callRemote("provoke", listener, kind)
            relayed = avatar.callRemote("relay", listener, kind).addCallbacks(unexpected, told)
            arrived[kind] = [provoked, await relayed]
    return arrived


async def errors_awaited(guide):
    """Awaited, an error is of the class that is registered for it, or a RemoteError."""
    arrived = {}
    async with guide.login() as connection:
        for kind in (*CLASSES, "unknown"):
            try:
                await connection.avatar.callRemote("fail", kind)
            except RemoteError as exc:
                arrived[kind] = ["RemoteError", exc.remoteType]
            except Exception as exc:
                arrived[kind] = [type(exc).__name__, str(exc)]
    return arrived


async def errors_of_dispatch(guide):
    """A call that the server does not run fails, and no other call does."""
    arrived = {}
    async with guide.login() as connection:
        avatar = connection.avatar
        desk = await avatar.callRemote("desk")
        room = await avatar.callRemote("room")
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
            kind, type_name, _ = await refused.addCallbacks(unexpected, told)
            arrived[name] = [kind, type_name]
        arrived["no method of the client's"] = await avatar.callRemote(
            "call", Listener(), "nothing"
        )
        arrived["and then"] = await avatar.callRemote("later", "still there")
    return arrived


async def pages(guide):
    """A pager sends a long text in pieces."""
    async with guide.login() as connection:
        desk = await connection.avatar.callRemote("desk")
        text = bytes(range(256)) * 300
        pieces = await util.getAllPages(desk, "pages", text, 10000)
    return [[len(piece) for piece in pieces], b"".join(pieces) == text]


async def root(guide):
    """A server without login returns its root."""
    async with guide.connect(port="root") as connection:
        door = connection.root
        there, back = await door.callRemote("echo", ("a", b"b"))
        listener = Listener()
        reply = await door.callRemote("listen", listener)
        refused = await door.callRemote("refuse").addCallbacks(unexpected, told)
        missing = await door.callRemote("nothing").addCallbacks(unexpected, trapped)
        again = connection.root == door
    return [there, describe(back), reply, listener.events, refused, missing, again]


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
    server_hangs_up,
    client_hangs_up,
    logins_raised,
    errors,
    errors_of_client,
    errors_awaited,
    errors_of_dispatch,
    pages,
    root,
)


async def main():
    """Run the scenarios one after the other and print the results of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("world", choices=["face"])
    parser.add_argument("ports")
    parser.add_argument("login", choices=["password", "guest"])
    parser.add_argument("--ca")
    parser.add_argument("--without", nargs="+", default=[])
    options = parser.parse_args()
    for scenario in SCENARIOS:
        name = scenario.__name__
        if name in options.without:
            continue
        line = {"scenario": name}
        try:
            async with asyncio.timeout(SECONDS_A_SCENARIO):
                line["arrived"] = await scenario(Guide(options))
        except Exception:
            line["failed"] = traceback.format_exc()
        print(json.dumps(line), flush=True)


asyncio.run(main())
