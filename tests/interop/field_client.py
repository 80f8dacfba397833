"""The client of the tests of real PB programs' behaviour.

Run as ``field_client.py WORLD PORTS SERVER``: PORTS is the line that the server has printed, SERVER
is the server's world. It runs its scenarios one after the other. It prints one JSON line for each:
its name and results, or the traceback of an error.
"""

# ruff: noqa: D102, D103 - the test of a scenario describes it

from __future__ import annotations

import io
import json
import sys

import field_things as things
from describe import text
from scenarios import run_scenarios
from world import WORLD, credentials, defer, pb, reactor, util

HOST = "127.0.0.1"
PORTS, SERVER = json.loads(sys.argv[2]), sys.argv[3]
LONGEST = 640 * 1024

# Every name that a published method in the call path has for its own parameter.
NAMES = [
    "name",
    "args",
    "kw",
    "perspective",
    "broker",
    "method",
    "message",
    "object",
    "key",
    "callback",
    "result",
    "prefix",
    "objectID",
    "answerRequired",
    "requestID",
    "luid",
    "netArgs",
    "netKw",
    "pbcallbacks",
    "exp",
    "title",
]


class Factories:
    """Makes connections, and closes them."""

    def __init__(self):
        self.made = []

    def connect(self, port, factory=None):
        factory = pb.PBClientFactory() if factory is None else factory
        reactor.connectTCP(HOST, PORTS[port], factory)
        self.made.append(factory)
        return factory

    def root(self, port="root"):
        return self.connect(port).getRootObject()

    def close(self):
        for factory in self.made:
            factory.disconnect()


class Mind(pb.Referenceable):
    """The realm asks it before there is an avatar."""

    def remote_who(self, name):
        return f"{name}, it is me"


class Source(pb.Referenceable):
    """The object that the server calls."""

    data = bytes(range(256)) * 500

    def __init__(self):
        self.sent = None
        self.noted = []

    def remote_pages(self, collector, kind):
        self.sent = things.send_pages(collector, kind, io.BytesIO(self.data))

    def remote_break(self):
        raise things.Broken("because broken")

    def remote_note(self, value):
        self.noted.append(value)

    def remote_echo(self, value):
        return value

    def remote_of_size(self, size):
        return b"x" * size


def text_of(failure):
    return [text(failure.type), failure.traceback]


@defer.inlineCallbacks
def mind_before_avatar(factories):
    seen = []
    for login in (credentials.UsernamePassword(b"alice", b"sesame"), credentials.Anonymous()):
        factory = factories.connect("portal")
        avatar = yield factory.login(login, Mind())
        seen.append((yield avatar.callRemote("said")))
        here = avatar.broker.transport.getHost()
        there = yield avatar.callRemote("from")
        seen.append(there == ["TCP", HOST, here.port])
    return seen


@defer.inlineCallbacks
def methods_made_when_asked_for(factories):
    factory = factories.connect("portal")
    avatar = yield factory.login(credentials.Anonymous(), Mind())
    root = yield factories.root()
    proxy = yield root.callRemote("proxy")
    return [
        (yield proxy.callRemote("dance", 1, with_="you")),
        (yield avatar.callRemote("sing_loud")),
        (
            yield avatar.callRemote("nothing").addErrback(
                lambda f: f.check(AttributeError) is not None
            )
        ),
    ]


@defer.inlineCallbacks
def remote_type(factories):
    root = yield factories.root()
    try:
        yield root.callRemote("break")
    except pb.RemoteError as error:
        kind = type(error.remoteType).__name__
        return [kind, text(error.remoteType), str(error), error.args]


@defer.inlineCallbacks
def all_are_remote_errors(factories):
    root = yield factories.root()
    avatar = yield factories.connect("portal").login(credentials.Anonymous(), Mind())
    calls = {
        "pb.Error": lambda: root.callRemote("raise", "pb.Error"),
        "registered": lambda: root.callRemote("raise", "registered"),
        "no method": lambda: root.callRemote("nothing"),
        "no method of an avatar": lambda: avatar.callRemote("nothing"),
        "wrong arguments": lambda: root.callRemote("note"),
        "no object": lambda: root.broker.remoteForName("nobody").callRemote("note", 1),
    }
    seen = {}
    for name, call in calls.items():
        try:
            yield call()
        except pb.RemoteError as error:
            kind = type(error.remoteType).__name__
            seen[name] = [kind, text(error.remoteType), str(error)]
    factory = factories.connect("root")
    reference = yield factory.getRootObject()
    ended = defer.Deferred()
    reference.notifyOnDisconnect(ended.callback)
    factory.disconnect()
    yield ended
    try:
        yield reference.callRemote("note", 1)
    except pb.DeadReferenceError as error:
        seen["a dead reference"] = str(error)
    return seen


@defer.inlineCallbacks
def unsendable(factories):
    root = yield factories.root()
    box = yield root.callRemote("box")
    shelf = yield root.callRemote("shelf")
    argument = root.callRemote("told", things.LOCK)
    return {
        "to the server": (yield root.callRemote("opened", things.Box())),
        "to the client": box.contents(),
        "cache": [type(shelf.bad).__name__, shelf.good],
        "argument": (yield argument.addErrback(lambda failure: told(failure)[0])),
    }


@defer.inlineCallbacks
def own_root(factories):
    factory = factories.connect("root")
    root = yield factory.getRootObject()
    again = yield factory.getRootObject()
    other = yield factories.root()
    yield root.callRemote("note", "mine")
    return [
        root == again,
        (yield again.callRemote("noted")),
        (yield other.callRemote("noted")),
    ]


@defer.inlineCallbacks
def keywords(factories):
    root = yield factories.root()
    given = {name: number for number, name in enumerate(NAMES)}
    arrived = yield root.callRemote("named", **given)
    seen = [[list(item) for item in arrived] == [list(item) for item in sorted(given.items())]]
    if WORLD == "ours":
        others = {"self": 1, "_name": 2, "pbcallback": 3, "pberrback": 4}
        seen.append((yield root.callRemote("named", **others)))
    return seen


@defer.inlineCallbacks
def hooks(factories):
    factory = pb.PBClientFactory()
    factory.protocol = things.HookedBroker
    root = yield factories.connect("hooked", factory).getRootObject()
    there, here = (yield root.callRemote("counts")), dict(root.broker.counts)
    yield root.callRemote("echo", ["a", {"b": 1}])
    there_after, here_after = (yield root.callRemote("counts")), dict(root.broker.counts)
    phantom = root.broker.remoteForName("phantom")
    haunted = yield phantom.callRemote("boo")
    return [
        {"ready": [there.get("connectionReady"), here.get("connectionReady")]},
        difference(there, there_after),
        difference(here, here_after),
        haunted,
    ]


def difference(before, after):
    return {
        name: count - before.get(name, 0)
        for name, count in sorted(after.items())
        if count != before.get(name, 0)
    }


@defer.inlineCallbacks
def messages_received(factories):
    root = yield factories.root()
    forwarder = yield root.callRemote("forwarder")
    factory = factories.connect("portal")
    avatar = yield factory.login(credentials.Anonymous(), Mind())
    return [
        (yield forwarder.callRemote("plain", (1, b"2"))),
        (yield forwarder.callRemote("other", (1, b"2"), key="é")),
        (yield root.callRemote("call", things.Forwarder(), "third", 3)),
        (yield avatar.callRemote("anything", (1,), key=2)),
        (yield avatar.callRemote("said")),
    ]


@defer.inlineCallbacks
def jelly_hooks(factories):
    root = yield factories.root()
    kind, told, coin = yield root.callRemote("coin", things.Coin(1234))
    one = things.Coin(5)
    shared = yield root.callRemote("told", [one, one])
    return [kind, told, type(coin).__name__, coin.told, shared]


@defer.inlineCallbacks
def tags(factories):
    root = yield factories.root()
    factory = factories.connect("portal")
    avatar = yield factory.login(credentials.Anonymous(), Mind())
    oddities = [(yield root.callRemote("oddity")), (yield avatar.callRemote("oddity"))]
    clothes = yield root.callRemote("clothes")
    return [
        [[type(oddity).__name__, oddity.kind] for oddity in oddities],
        [[type(cloth).__name__, cloth.colour] for cloth in clothes],
        sorted(text(tag) for tag in pb.copyTags if text(tag).startswith(("wardrobe", "field_"))),
    ]


@defer.inlineCallbacks
def tracebacks(factories):
    seen = {}
    for name, port, is_shown in (("shut", "root", False), ("open", "open", True)):
        factory = factories.connect(port, pb.PBClientFactory(unsafeTracebacks=is_shown))
        root = yield factory.getRootObject()
        theirs = yield root.callRemote("break").addErrback(text_of)
        ours = yield root.callRemote("break_client", Source())
        for side, (kind, shown) in (("server's", theirs), ("client's", ours)):
            known = shown if not is_shown else ["remote_break" in shown, "Traceback" in shown]
            seen[f"{side}, {name}"] = [kind, known]
    return seen


@defer.inlineCallbacks
def no_answer(factories):
    root = yield factories.root()
    source = Source()
    returned = [root.callRemote("note", number, pbanswer=False) for number in range(3)]
    yield root.callRemote("call", source, "note", "with an answer")
    silent = root.callRemote("nothing", pbanswer=False)
    return [set(returned) == {None}, silent, (yield root.callRemote("noted")), source.noted]


@defer.inlineCallbacks
def longest(factories):
    root = yield factories.root()
    there = yield root.callRemote("echo", b"a" * LONGEST)
    back = yield root.callRemote("call", Source(), "of_size", LONGEST)
    as_text = yield root.callRemote("echo", "a" * LONGEST)
    return [len(there), len(back), len(as_text)]


@defer.inlineCallbacks
def too_long(factories):
    """A longer value fails where it would have been sent, and the connection continues."""
    root = yield factories.root()
    # Twisted's client raises at once.
    there = yield defer.maybeDeferred(root.callRemote, "echo", b"a" * (LONGEST + 1)).addCallbacks(
        how_long, told
    )
    seen = {"argument": there}
    if SERVER == "ours":
        seen["result"] = yield root.callRemote("of_size", LONGEST + 1).addCallbacks(how_long, told)
    if WORLD == "ours":
        asked = root.callRemote("call", Source(), "of_size", LONGEST + 1)
        seen["result of the client's"] = yield asked.addCallbacks(how_long, told)
    seen["and then"] = yield root.callRemote("echo", "still there")
    return seen


def how_long(value):
    """Return the result between two ends of this library, whose own dialect has no such limit."""
    return ["arrived", len(value)]


def told(failure):
    """Return the last part of the type name, and the text."""
    kind = failure.type
    name = text(kind) if isinstance(kind, (str, bytes)) else kind.__name__
    return [name.rpartition(".")[2], failure.getErrorMessage()]


@defer.inlineCallbacks
def paging(factories):
    root = yield factories.root()
    seen = []
    for kind in ("string", "file"):
        pages = yield util.getAllPages(root, "pages", kind, Source.data)
        source = Source()
        there = yield root.callRemote("collect", source, kind)
        seen.append([b"".join(pages) == Source.data, len(pages) > 1, there, (yield source.sent)])
    seen.append((yield root.callRemote("noted")))
    if WORLD == "ours":
        # Twisted waits without limit.
        failed = util.getAllPages(root, "nothing").addErrback(told)
        seen.append((yield failed)[0])
    return seen


@defer.inlineCallbacks
def publishing(factories):
    root = yield factories.root()
    article = yield things.publish.whenReady(root.callRemote("article"))
    again = []
    article.callWhenActivated(again.append)
    return [
        type(article).__name__,
        [article.title, article.words],
        article.publishedID,
        bool(article.isActivated),
        again == [article],
        (yield root.callRemote("asked")),
    ]


SCENARIOS = (
    mind_before_avatar,
    methods_made_when_asked_for,
    remote_type,
    all_are_remote_errors,
    unsendable,
    own_root,
    keywords,
    hooks,
    messages_received,
    jelly_hooks,
    tags,
    tracebacks,
    no_answer,
    longest,
    too_long,
    paging,
    publishing,
)


run_scenarios(SCENARIOS, Factories)
