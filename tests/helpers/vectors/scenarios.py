"""The conversations of messages.json; each runs with any implementation."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from typing import Any

from vectors.conversation import Link

# The classes have this name of their module in the vectors.
__name__ = "scenarios"

SCENARIOS: dict[str, Callable[[Link], None]] = {}


def scenario(function: Callable[[Link], None]) -> Callable[[Link], None]:
    """Enter a scenario under its name."""
    SCENARIOS[function.__name__] = function
    return function


def echo_root(link: Link) -> Any:
    """A root that returns what it gets, keeps what it is told to, and forgets."""

    class Echo(link.lib.pb.Root):
        kept: Any = None

        def remote_echo(self, *args: Any, **keywords: Any) -> Any:
            return [list(args), keywords] if keywords or len(args) != 1 else args[0]

        def remote_keep(self, *args: Any) -> None:
            self.kept = args

        def remote_forget(self) -> None:
            self.kept = None

    return Echo()


@scenario
def handshake(link: Link) -> None:
    """The server offers dialects, the client picks pb, both say their version."""
    link.connect(echo_root(link))


@scenario
def handshake_none(link: Link) -> None:
    """A client that knows only none."""
    root = link.root(echo_root(link), client=[b"none"])
    assert link.call(root, "echo", ["list", None, 1]) == ["list", None, 1]


@scenario
def handshake_server_offers_only_none(link: Link) -> None:
    """A server that offers only none."""
    root = link.root(echo_root(link), server=[b"none"])
    assert link.call(root, "echo", 1) == 1


@scenario
def handshake_nothing_in_common(link: Link) -> None:
    """A client that knows none of what is offered hangs up."""
    link.connect(echo_root(link), client=[b"none"], server=[b"pb"])


@scenario
def handshake_unknown_choice(link: Link) -> None:
    """A server hangs up on a client that picks what was not offered."""
    link.connect(echo_root(link), deliver=False)
    link.queue.clear()
    link.transports["client"].write(b"\x05\x82other")
    link.pump()


@scenario
def call(link: Link) -> None:
    """A call with arguments and keywords, and its answer."""
    root = link.root(echo_root(link))
    assert link.call(root, "echo") == [[], {}]
    result = link.call(root, "echo", 1, b"two", "three", key=[4.0], other={"five": None})
    assert result == [[1, b"two", "three"], {"key": [4.0], "other": {"five": None}}]


@scenario
def call_not_ascii(link: Link) -> None:
    """Names of methods are UTF-8, and so are those of keywords."""

    class Root(link.lib.pb.Root):
        def remote_größe(self, **keywords: Any) -> Any:
            return keywords

    assert link.call(link.root(Root()), "größe", maß=1) == {"maß": 1}


@scenario
def answers(link: Link) -> None:
    """An answer of each plain type."""
    root = link.root(echo_root(link))
    shared = ["shared"]
    loop: list[Any] = []
    loop.append(loop)
    for value in (
        *(None, True, False, 0, -1, 2**31, -(2**31) - 1, 1.5, "text", b"bytes"),
        *([1, [2]], (1, (2,)), {"a": 1, 2: b"b"}, {1}, frozenset([1])),
        *(datetime.date(2001, 2, 3), datetime.time(4, 5, 6, 7)),
        *(datetime.datetime(2001, 2, 3, 4, 5, 6, 7), datetime.timedelta(1, 2, 3)),
        *(decimal.Decimal("-3.14"), [shared, shared]),
    ):
        result = link.call(root, "echo", value)
        assert (result, type(result)) == (value, type(value))
    result = link.call(root, "echo", loop)
    assert result[0] is result


@scenario
def shared_between_arguments(link: Link) -> None:
    """Arguments share what they share; keywords are jellied apart."""

    class Root(link.lib.pb.Root):
        def remote_same(self, a: Any, b: Any, c: Any) -> Any:
            return [a is b, a is c]

    shared = ["x"]
    assert link.call(link.root(Root()), "same", shared, shared, c=shared) == [True, False]


@scenario
def no_answer_wanted(link: Link) -> None:
    """A call that wants no answer gets none, and no error either."""
    root = link.root(echo_root(link))
    for name in ("echo", "nothing_of_that_name"):
        link.step("client", f"calls {name} without wanting an answer")
        assert root.callRemote(name, 1, pbanswer=False) is None
        link.pump()
    assert link.call(root, "echo", 2) == 2


@scenario
def answered_later(link: Link) -> None:
    """A method that returns a Deferred is answered when it fires: answers come in any order."""
    waiting: list[Any] = []

    class Root(link.lib.pb.Root):
        def remote_wait(self) -> Any:
            waiting.append(link.lib.defer.Deferred())
            return waiting[-1]

    root = link.root(Root())
    link.step("client", "calls wait three times")
    calls = [root.callRemote("wait") for _ in range(3)]
    link.pump()
    link.step("server", "the second fires, then the first, then the third fails")
    waiting[1].callback("second")
    waiting[0].callback(["first"])
    waiting[2].errback(KeyError("third"))
    link.pump()
    assert [link.get(calls[0]), link.get(calls[1])] == [["first"], "second"]
    assert link.get(calls[2]).check("builtins.KeyError")


def failing_root(link: Link) -> Any:
    """A root whose methods fail in several ways."""
    pb = link.lib.pb

    class Refused(pb.Error):
        pass

    class Detailed(pb.Error, pb.Copyable):
        def __init__(self, code: int) -> None:
            super().__init__("detailed")
            self.code = code

    class DetailedCopy(pb.Error, pb.RemoteCopy):
        pass

    pb.setUnjellyableForClass("scenarios.Detailed", DetailedCopy)

    class Failing(pb.Root):
        copy_class = DetailedCopy

        def remote_plain(self) -> None:
            raise ValueError("a text, with ünicode")

        def remote_no_text(self) -> None:
            raise KeyError

        def remote_error(self) -> None:
            raise Refused("not today")

        def remote_detailed(self) -> None:
            raise Detailed(7)

        def remote_later(self) -> Any:
            return link.lib.defer.fail(Refused("not later either"))

        def remote_detailed_later(self) -> Any:
            return link.lib.defer.fail(Detailed(8))

        def remote_one(self, argument: Any) -> None:
            """Takes one argument."""

    return Failing()


@scenario
def exceptions(link: Link) -> None:
    """A plain exception: a CopyableFailure without traceback."""
    root = link.root(failing_root(link))
    failure = link.call(root, "plain")
    assert failure.check("builtins.ValueError")
    assert failure.value == "a text, with ünicode"
    assert link.call(root, "no_text").check(KeyError)


@scenario
def exceptions_with_traceback(link: Link) -> None:
    """With unsafeTracebacks the state's traceback is the text of one."""
    failure = link.call(link.root(failing_root(link), unsafe=True), "plain")
    assert "remote_plain" in failure.traceback


@scenario
def exceptions_on_purpose(link: Link) -> None:
    """A subclass of pb.Error goes as a CopyableFailure too, at once or later."""
    root = link.root(failing_root(link))
    assert link.call(root, "error").check("scenarios.Refused")
    assert link.call(root, "later").check(link.lib.pb.Error)


@scenario
def exceptions_copied(link: Link) -> None:
    """An error that is Copyable goes as the copy that it is."""
    published = failing_root(link)
    root = link.root(published)
    for name, code in (("detailed", 7), ("detailed_later", 8)):
        failure = link.call(root, name)
        assert isinstance(failure.value, published.copy_class)
        assert failure.value.code == code


@scenario
def no_such_method(link: Link) -> None:
    """A method that is not there, and one that does not take the arguments."""
    root = link.root(failing_root(link))
    assert link.call(root, "nothing").check(link.lib.pb.NoSuchMethod)
    assert link.call(root, "one", 1, 2).check(TypeError)


@scenario
def no_such_object(link: Link) -> None:
    """A call on an object that is not there."""
    link.root(echo_root(link))
    for identity in (b"nobody", 99):
        reference = link.client.remoteForName(identity)
        assert link.call(reference, "echo", 1).check(link.lib.pb.Error)


@scenario
def insecure_argument(link: Link) -> None:
    """An argument of a class that the server does not let in fails that call."""
    pb = link.lib.pb

    class Unregistered(pb.Copyable):
        pass

    value = Unregistered()
    value.x = 1
    root = link.root(echo_root(link))
    failure = link.call(root, "echo", value)
    assert failure.check("twisted.spread.jelly.InsecureJelly")
    assert link.call(root, "echo", 1) == 1


@scenario
def named_object(link: Link) -> None:
    """An object published under a name is called by its name; nobody counts it."""
    link.root(echo_root(link))
    link.server.setNameForLocal("other", echo_root(link))
    reference = link.client.remoteForName("other")
    assert link.call(reference, "echo", 1) == 1
    del reference
    link.collect("client", "forgets it")


@scenario
def version_differs(link: Link) -> None:
    """A version other than 6 is an error of the protocol."""
    link.connect(echo_root(link))
    link.fails("client", b"version", 7)


@scenario
def message_unknown(link: Link) -> None:
    """A message that nobody knows: didNotUnderstand is meant, an error is what happens."""
    link.connect(echo_root(link))
    link.fails("client", b"nonsense", 1)


@scenario
def message_did_not_understand(link: Link) -> None:
    """The message didNotUnderstand is taken and changes nothing."""
    root = link.root(echo_root(link))
    link.send("client", b"didNotUnderstand", b"nonsense")
    assert link.call(root, "echo", 1) == 1


@scenario
def message_no_list(link: Link) -> None:
    """An expression that is no list is no message."""
    link.connect(echo_root(link))
    link.step("client", "writes a number")
    link.transports["client"].write(b"\x05\x81")
    link.fails("client")


@scenario
def answer_unknown(link: Link) -> None:
    """An answer to a question that was not asked is an error of the protocol."""
    link.connect(echo_root(link))
    link.fails("client", b"answer", 9, 1)


@scenario
def decref_unknown(link: Link) -> None:
    """A release of an object that is not there is an error of the protocol."""
    link.connect(echo_root(link))
    link.fails("client", b"decref", 9)


@scenario
def error_minimal(link: Link) -> None:
    """An error with only the four fields that matter is as good."""
    root = link.root(echo_root(link))
    link.step("client", "calls echo, and is answered by hand")
    deferred = root.callRemote("echo", 1)
    link.queue.clear()
    state = [
        b"dictionary",
        [[b"unicode", b"type"], b"builtins.KeyError"],
        [[b"unicode", b"value"], [b"unicode", b"lost"]],
        [[b"unicode", b"parents"], [b"list", [b"unicode", b"builtins.KeyError"]]],
        [[b"unicode", b"traceback"], [b"unicode", b"Traceback unavailable\n"]],
    ]
    link.send("server", b"error", 1, [b"twisted.spread.pb.CopyableFailure", state])
    failure = link.get(deferred)
    assert failure.check("builtins.KeyError")
    assert failure.value == "lost"


@scenario
def keywords_as_bytes(link: Link) -> None:
    """Keywords that are bytes are taken as text."""
    got = []

    class Root(link.lib.pb.Root):
        def remote_keep_keywords(self, **keywords: Any) -> None:
            got.append(keywords)

    link.connect(Root())
    keywords = [b"dictionary", [b"key", 1]]
    link.send("client", b"message", 1, b"root", b"keep_keywords", 0, [b"tuple"], keywords)
    assert got == [{"key": 1}]
