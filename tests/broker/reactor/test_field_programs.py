"""Small programs with names that programs in the field use: they print the same with Twisted's."""

from __future__ import annotations

import pytest
from support.field_programs import printed

FLAVORS = """
    print(pb.IJellyable is jelly.IJellyable, pb.IUnjellyable is jelly.IUnjellyable)
    print([pb.IJellyable.providedBy(thing) for thing in (pb.Referenceable(), pb.Copyable(), 5)])
    print(issubclass(pb.Copyable, pb.Jellyable), issubclass(pb.Referenceable, pb.Jellyable))
    atoms = sorted(name for name in dir(jelly) if name.endswith("_atom"))
    print([(name, getattr(jelly, name)) for name in atoms])
"""

DIALECTS = """
    class Wire:
        def __init__(self):
            self.written = []

        def write(self, data):
            self.written.append(data)

    class Printing(banana.Banana):
        def connectionReady(self):
            print("ready", self.currentDialect)

        def expressionReceived(self, expression):
            print(expression)

    for dialect in (b"none", b"pb"):
        printing = Printing()
        printing.makeConnection(Wire())
        printing._selectDialect(dialect)
        printing.sendEncoded([b"remote", 5, [b"x"]])
        print(printing.transport.written)
        printing.dataReceived(printing.transport.written[0])

    class Hearing(pb.PBClientFactory):
        def clientConnectionMade(self, broker):
            print("made", broker.currentDialect if hasattr(broker, "currentDialect") else b"none")

    alone = pb.Broker()
    alone.factory = Hearing()
    alone.makeConnection(protocol_wire := Wire())
    alone._selectDialect(b"none")
    print(b"".join(protocol_wire.written))
"""

LOCKS = """
    for lock in (defer.DeferredLock(), defer.DeferredSemaphore(2)):
        try:
            lock.release()
        except AssertionError:
            print("AssertionError", lock.tokens if hasattr(lock, "limit") and lock.limit > 1 else 1)
        lock.acquire()
        lock.release()
        try:
            lock.release()
        except AssertionError:
            print("AssertionError")
"""

DIGESTS = """
    for algorithm in (b"md5", b"md5-sess", b"sha"):
        one = credentials.calcHA1(algorithm, b"ann", b"realm", b"sesame", b"nonce", b"cnonce")
        again = credentials.calcHA1(algorithm, None, None, None, b"nonce", b"cnonce", preHA1=b"ab")
        for quality, body in ((b"auth", None), (b"auth-int", b"cd")):
            two = credentials.calcHA2(algorithm, b"GET", b"/a", quality, body)
            for count in (b"00000001", None):
                print(credentials.calcResponse(
                    one, two, algorithm, b"nonce", count, b"cnonce", quality))
        print(one, again, two)
    for wrong in (
        lambda: credentials.calcHA1(b"md5", b"ann", None, None, None, None, preHA1=b"ab"),
        lambda: credentials.calcHA1(b"md5", b"ann", b"realm", None, None, None),
        lambda: credentials.calcHA2(b"md5", b"GET", b"/a", b"auth-int", None),
        lambda: credentials.calcHA2(b"crc", b"GET", b"/a", b"auth", None),
    ):
        try:
            wrong()
        except Exception as error:
            print(type(error).__name__)
"""

UNHANDLED = """
    from zope.interface import Interface, implementer

    class ITicket(credentials.ICredentials):
        pass

    class IDesk(Interface):
        pass

    @implementer(IDesk, ITicket, credentials.IUsernameHashedPassword)
    class Ticket:
        pass

    class Realm:
        def requestAvatar(self, *args):
            pass

    for shown in (
        credentials.Anonymous(),
        credentials.UsernamePassword(b"a", b"b"),
        credentials.SSHPrivateKey(b"a", b"b", b"c", b"d", b"e"),
        Ticket(),
    ):
        asked = portal.Portal(Realm()).login(shown, None, pb.IPerspective)
        asked.addErrback(lambda failure: print(failure.type.__name__, failure.getErrorMessage()))
"""

LOGGING = """
    import logging

    class Printing(logging.Handler):
        def emit(self, record):
            text = record.getMessage().splitlines()
            print(record.name, record.levelno, text[0], text[-1])

    printing = Printing()
    logging.getLogger().addHandler(printing)
    logging.getLogger().setLevel(logging.DEBUG)
    observer = log.PythonLoggingObserver("field.app")
    observer.start()
    log.msg("hello", "there")
    log.msg(format="%(a)s!", a=5)
    log.msg("low", logLevel=logging.DEBUG)
    log.msg("high", logLevel=logging.WARNING)
    log.err("a text")
    try:
        1 / 0
    except ZeroDivisionError:
        log.err(None, "why")
        log.err()
    log.msg("marked", isError=1)
    log.msg(nothing=1)
    observer.stop()
    observer = log.PythonLoggingObserver()
    observer.emit({"message": ("by hand",), "isError": 0, "time": 0, "system": "-",
                   "log_format": "by hand", "log_namespace": "x", "log_time": 0})
    logging.getLogger().removeHandler(printing)
    lines = []

    class File:
        def write(self, text):
            lines.append(text.partition("] ")[2])

        def flush(self):
            pass

    to_file = log.FileLogObserver(File())
    to_file.start()
    log.msg("for the file")
    to_file.stop()
    log.msg("not for the file")
    print(lines)
"""


@pytest.mark.parametrize(
    "program",
    [
        # Programs without a reactor are one program.
        pytest.param(FLAVORS + DIALECTS + LOCKS + DIGESTS + UNHANDLED, id="names"),
        pytest.param(LOGGING, id="logging"),
    ],
)
def test_same_prints(program: str) -> None:
    """A program prints the same here and with Twisted."""
    theirs = printed(program, "twisted").splitlines()
    assert printed(program, "ours").splitlines() == theirs
    assert theirs
