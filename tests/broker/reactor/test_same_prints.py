"""Small programs that must print the same with our imports and with Twisted's."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAD = {
    "ours": """
        from broker import reactor, defer
        from broker.reactor import endpoints, error, protocol, task, threads
    """,
    "twisted": """
        from twisted.internet import reactor, defer
        from twisted.internet import endpoints, error, protocol, task, threads
    """,
}

LOOPING = """
    clock = task.Clock()
    seen = []

    def looping(f, *args):
        loop = task.LoopingCall(f, *args)
        loop.clock = clock
        return loop

    counted = task.LoopingCall.withCount(lambda n: seen.append((n, round(clock.seconds(), 3))))
    counted.clock = clock
    print(counted.running, counted.interval, counted.deferred)
    done = counted.start(1.0)
    print(counted.running, counted.interval, counted.starttime, counted.deferred is done)
    clock.pump([0.5, 0.5, 0.7, 2.9, 0.1, 5])
    counted.reset()
    print(counted.call.getTime())
    clock.pump([0.9, 0.2, 1])
    counted.stop()
    print(seen, done.called, done.result is counted, counted.deferred)

    late = looping(seen.append, "late")
    late.start(0.3, now=False)
    seen.clear()
    clock.pump([0.2, 0.2, 0.1, 0.3])
    print(seen, round(late.call.getTime() - clock.seconds(), 3))
    late.stop()
    print(len(clock.getDelayedCalls()))

    failing = looping(lambda: 1 / 0)
    failing.start(1).addErrback(lambda f: print(f.type.__name__, failing.running))

    waiting = defer.Deferred()
    loop = looping(lambda: waiting)
    done = loop.start(1)
    clock.advance(5)
    print(len(clock.getDelayedCalls()))
    loop.stop()
    print(done.called)
    waiting.callback(None)
    print(done.called)

    once = looping(lambda: once.stop())
    print(once.start(1).called)

    for wrong in (loop.stop, loop.reset, lambda: looping(print).start(-1)):
        try:
            wrong()
        except Exception as exc:
            print(type(exc).__name__)
    again = looping(print, "again", 1)
    again.start(1)
    try:
        again.start(1)
    except AssertionError:
        print("assertion")
    print(repr(task.LoopingCall(print, 1, end=2)))
"""

CLOCK = """
    clock = task.Clock()
    print(clock.seconds(), clock.rightNow)
    clock.callLater(2, print, "second")
    moved = clock.callLater(1, print, "moved")
    gone = clock.callLater(1, print, "gone")
    clock.callLater(1, lambda: clock.callLater(0, print, "inner"))
    clock.callLater(1, lambda: 1 / 0)
    gone.cancel()
    moved.delay(2)
    print(sorted(call.getTime() for call in clock.getDelayedCalls()))
    try:
        clock.advance(1)
    except ZeroDivisionError:
        print("raised", len(clock.getDelayedCalls()))
    clock.pump([0, 1, 0.5, 1])
    print(clock.seconds(), moved.active(), clock.getDelayedCalls())
    for change in (moved.cancel, gone.cancel, lambda: gone.reset(1)):
        try:
            change()
        except Exception as exc:
            print(type(exc).__name__)

    later = task.deferLater(clock, 1, lambda a, b: a + b, 1, b=2)
    later.addCallback(print)
    task.deferLater(clock, 2).addCallback(print)
    task.deferLater(clock, 1, lambda: 1 / 0).addErrback(lambda f: print(f.type.__name__))
    dropped = task.deferLater(clock, 1, print, "never")
    dropped.addErrback(lambda f: print(f.type.__name__))
    dropped.cancel()
    clock.pump([1, 1])
"""

COOPERATE = """
    clock = task.Clock()
    cooperator = task.Cooperator(
        scheduler=lambda f: clock.callLater(1, f), terminationPredicateFactory=lambda: lambda: True
    )
    out = []

    def steps(name, number=3):
        for step in range(number):
            out.append((name, step))
            yield None

    def told(task):
        task.whenDone().addCallbacks(lambda r: print("done"), lambda f: print(f.type.__name__))
        return task

    def attempt(f):
        try:
            f()
        except Exception as exc:
            print(type(exc).__name__)

    a, b = told(cooperator.cooperate(steps("a"))), told(cooperator.cooperate(steps("b")))
    clock.pump([1] * 3)
    a.pause()
    a.pause()
    clock.pump([1] * 4)
    print(out)
    a.resume()
    clock.pump([1] * 2)
    a.resume()
    attempt(a.resume)
    clock.pump([1] * 4)
    print(out)
    for f in (a.pause, a.stop, b.stop):
        attempt(f)
    told(a)

    def bad():
        yield None
        1 / 0

    c = told(cooperator.cooperate(bad()))
    clock.pump([1] * 3)
    attempt(c.stop)
    d = told(cooperator.cooperate(steps("d")))
    d.stop()
    attempt(d.pause)
    wait = defer.Deferred()
    e = told(cooperator.cooperate(iter([wait, None])))
    clock.pump([1] * 4)
    print("waiting", len(clock.getDelayedCalls()))
    wait.callback(1)
    clock.pump([1] * 4)
    f = told(cooperator.cooperate(iter([defer.fail(KeyError("no"))])))
    clock.pump([1] * 2)
    attempt(f.stop)
    cooperator.coiterate(steps("g", 2)).addCallback(lambda r: print("went through"))
    clock.pump([1] * 4)
    h = told(cooperator.cooperate(steps("h")))
    print(cooperator.running)
    cooperator.stop()
    print(cooperator.running)
    attempt(h.stop)
    cooperator.coiterate(steps("i")).addErrback(lambda f: print(f.type.__name__))
    cooperator.start()
    j = told(cooperator.cooperate(steps("j", 1)))
    clock.pump([1] * 3)
    lazy = task.Cooperator(scheduler=lambda f: clock.callLater(1, f), started=False)
    told(lazy.cooperate(steps("k", 1)))
    print(len(clock.getDelayedCalls()), lazy.running)
    lazy.start()
    clock.pump([1, 1])
"""

EVENTS = """
    slow = defer.Deferred()

    def say(*what):
        print(*what, reactor.running)

    def before():
        say("before shutdown")
        reactor.callLater(0.02, slow.callback, None)
        return slow

    def refused():
        raise KeyError("a trigger")

    for phase in ("after", "during", "before"):
        reactor.addSystemEventTrigger(phase, "own", say, phase, "own")
        reactor.addSystemEventTrigger(phase, "shutdown", print, phase, "shutdown")
        reactor.addSystemEventTrigger(phase, "startup", print, phase, "startup")
    reactor.addSystemEventTrigger("before", "shutdown", before)
    reactor.addSystemEventTrigger("before", "shutdown", refused)
    reactor.addSystemEventTrigger("before", "shutdown", say, "the last before")
    gone = reactor.addSystemEventTrigger("during", "shutdown", print, "never")
    reactor.removeSystemEventTrigger(gone)
    for wrong in (
        lambda: reactor.removeSystemEventTrigger(gone),
        lambda: reactor.addSystemEventTrigger("beside", "shutdown", print),
    ):
        try:
            wrong()
        except Exception as exc:
            print(type(exc).__name__)
    dropped = reactor.callWhenRunning(print, "never")
    reactor.removeSystemEventTrigger(dropped)
    print(reactor.callWhenRunning(say, "running") is None)
    reactor.callWhenRunning(lambda: print(reactor.callWhenRunning(say, "at once")))
    reactor.callWhenRunning(reactor.fireSystemEvent, "own")
    reactor.callWhenRunning(reactor.fireSystemEvent, "own")
    reactor.callLater(0.01, reactor.stop)
    reactor.run()
    print(slow.called)
"""

THREADS = """
    import threading

    def here():
        return threading.current_thread() is threading.main_thread()

    def fails():
        raise KeyError("in a thread")

    async def slowly(value):
        await defer.succeed(None)
        return value

    def blocking():
        results = [
            threads.blockingCallFromThread(reactor, here),
            threads.blockingCallFromThread(reactor, task.deferLater, reactor, 0.01, str, 5),
        ]
        try:
            threads.blockingCallFromThread(reactor, fails)
        except KeyError as exc:
            results.append(repr(exc))
        return results

    @defer.inlineCallbacks
    def main(reactor, *argv):
        yield early
        print(argv)
        print((yield threads.deferToThread(here)), here())
        try:
            yield threads.deferToThread(fails)
        except KeyError as exc:
            print(repr(exc))
        print((yield threads.deferToThread(blocking)))
        print((yield threads.deferToThreadPool(reactor, reactor.getThreadPool(), max, 1, 2)))
        seen, over = [], defer.Deferred()
        threads.callMultipleInThread([
            (seen.append, (1,), {}),
            (seen.append, (2,), {}),
            (reactor.callFromThread, (over.callback, None), {}),
        ])
        yield over
        print(seen)
        reactor.suggestThreadPoolSize(3)
        print((yield threads.deferToThread(sum, [1, 2])))
        print((yield reactor.resolve("127.0.0.1")), (yield reactor.resolve("")))
        print((yield reactor.resolve("localhost")))
        try:
            yield reactor.resolve("no.such.host.invalid")
        except error.DNSLookupError as exc:
            print(type(exc).__name__)

    early = threads.deferToThread(here)
    early.addCallback(lambda r: print("early"))
    task.react(main, ["a", 1])
"""

DESCRIPTIONS = r"""
    for parse, description in [
        (endpoints.serverFromString, "foo:1"),
        (endpoints.serverFromString, "8080"),
        (endpoints.serverFromString, ""),
        (endpoints.serverFromString, "tcp"),
        (endpoints.serverFromString, "tcp:x"),
        (endpoints.serverFromString, "tcp:80:foo=1"),
        (endpoints.serverFromString, "tcp:80:a:b:c"),
        (endpoints.serverFromString, "ssl:443:privateKey=/no/such/file"),
        (endpoints.serverFromString, "unix:/a:mode=8"),
        (endpoints.clientFromString, "foo:1"),
        (endpoints.clientFromString, "tcp:a"),
        (endpoints.clientFromString, "tcp:host=a:port=1:x=2"),
        (endpoints.clientFromString, "tcp:a:x"),
        (endpoints.clientFromString, "unix"),
        (endpoints.clientFromString, "tls:a"),
        (endpoints.clientFromString, "tls:a:b"),
        (endpoints.clientFromString, r"unix:/a\:b\\c\=d:lockfile=1:timeout=3"),
        (endpoints.clientFromString, "unix:/a"),
        (endpoints.serverFromString, "unix:/a:mode=660:lockfile=0"),
        (endpoints.serverFromString, "unix:address=/a"),
        (endpoints.clientFromString, "tcp:a:1:bindAddress=1.2.3.4"),
        (endpoints.clientFromString, "tcp:port=1:host=a:timeout=7"),
        (endpoints.serverFromString, r"tcp:80:interface=\:\:1:backlog=7"),
        (endpoints.serverFromString, "tcp6:80"),
        (endpoints.serverFromString, "tcp:80"),
    ]:
        try:
            found = parse(reactor, description)
        except Exception as exc:
            print(description, type(exc).__name__)
        else:
            told = {name: value for name, value in vars(found).items() if name != "_reactor"}
            told = {name: 1 if value is True else value for name, value in told.items()}
            print(description, type(found).__name__, sorted(told.items()))
    print(endpoints.quoteStringArgument("a:b\\c"))
"""

CONNECTING = """
    clock = task.Clock()

    class Connector:
        def connect(self):
            print("connect", round(clock.seconds(), 3))

        def stopConnecting(self):
            raise error.NotConnectingError()

    class Factory(protocol.ReconnectingClientFactory):
        noisy = False
        jitter = 0

    print(protocol.ReconnectingClientFactory.jitter)
    factory = Factory()
    factory.clock = clock
    print(factory.delay, factory.maxDelay, factory.factor, factory.maxRetries, factory.retries)
    try:
        factory.retry()
    except ValueError:
        print("no connector")
    connector = Connector()
    for _ in range(3):
        factory.clientConnectionFailed(connector, None)
        clock.advance(1000)
        print(round(factory.delay, 3), factory.retries)
    factory.maxDelay = 5
    factory.clientConnectionLost(connector, None)
    print(clock.getDelayedCalls()[0].getTime() - clock.seconds())
    factory.stopTrying()
    print(len(clock.getDelayedCalls()), factory.continueTrying)
    factory.clientConnectionLost(connector, None)
    factory.retry()
    print(len(clock.getDelayedCalls()))
    factory.resetDelay()
    print(factory.delay, factory.retries, factory.continueTrying)
    factory.maxRetries = 1
    factory.retry()
    factory.retry()
    print(len(clock.getDelayedCalls()))
"""


def printed(program: str, library: str) -> str:
    """The output of a program with the imports of one library."""
    text = textwrap.dedent(HEAD[library]) + textwrap.dedent(program)
    warnings = ["-W", "error", "-X", "dev"] if library == "ours" else ["-W", "ignore"]
    done = subprocess.run(
        [sys.executable, *warnings, "-c", text],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "refused" not in program and library == "ours":
        assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "program",
    [LOOPING, CLOCK, COOPERATE, EVENTS, THREADS, DESCRIPTIONS, CONNECTING],
    ids=["looping", "clock", "cooperate", "events", "threads", "descriptions", "connecting"],
)
def test_same_prints(program: str) -> None:
    """A program prints the same here and with Twisted."""
    assert printed(program, "ours").splitlines() == printed(program, "twisted").splitlines()


@pytest.mark.parametrize(
    ("main", "code"),
    [
        ("async def main(reactor): return 5", 0),
        ("async def main(reactor): raise SystemExit(3)", 3),
        ("def main(reactor): raise SystemExit(4)", 4),
        ("async def main(reactor): 1 / 0", 1),
        ("def main(reactor): 1 / 0", 1),
        ("def main(reactor): reactor.callLater(0, reactor.stop); return defer.Deferred()", 0),
        ("def main(reactor): return defer.succeed(3)", 0),
    ],
)
def test_react(main: str, code: int) -> None:
    """The exit code of react is that of Twisted's, however main ends."""
    for library in ("ours", "twisted"):
        text = textwrap.dedent(HEAD[library]) + main + "\ntask.react(main)"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", text],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, "ZeroDivisionError" in done.stderr) == (code, "1 / 0" in main)
