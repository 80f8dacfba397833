"""The lines that a person must check, other than imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.porting.findings import Kind
from broker.porting.locations import outcome_of
from broker.porting.names import Names
from broker.porting.sources import Source
from broker.porting.warnings import find_warnings

IMPORTS = """\
from twisted.spread import pb, banana, jelly
from twisted.internet import reactor, defer, utils
from twisted.internet.defer import Deferred
from twisted.python import failure
from twisted.python.failure import Failure
from twisted.application import internet
import twisted.spread.flavors
"""


def found(
    text: str, *, keep_reactor: bool = False, imports: str = IMPORTS
) -> list[tuple[int, str]]:
    """Return the lines to check, counted from the imports, and why."""
    source = Source(Path("app.py"), imports + text)
    names = Names(source.tree)
    findings = list(
        find_warnings(
            source, names, lambda dotted: outcome_of(dotted, keep_reactor).kind is Kind.MOVES
        )
    )
    assert all(finding.kind.needs_a_hand for finding in findings)
    return sorted((each.line - imports.count("\n"), each.text) for each in findings)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("reactor.listenUDP(1, p)", "twisted.internet.reactor.listenUDP: No UDP."),
        ("x = pb.nothing", "twisted.spread.pb.nothing: not provided here"),
        ("x = jelly._Jellier", "twisted.spread.jelly._Jellier: not provided here"),
        ("internet.UDPServer(1, p)", "twisted.application.internet.UDPServer: No UDP."),
        ("x = twisted.spread.flavors.unjellyCached", "A table of the connection reads"),
        ("isinstance(x, defer.Deferred)", "is false for Twisted's Deferred"),
        ("isinstance(x, (int, Deferred))", "is false for Twisted's Deferred"),
        ("issubclass(x, int | Deferred)", "is false for Twisted's Deferred"),
        ("isinstance(x, failure.Failure)", "is false for Twisted's Failure"),
        ("isinstance(x, Failure)", "is false for Twisted's Failure"),
        ("f.value.remoteType == 'a.B'", "remoteType is compared"),
        ("'a.B' in (x.remoteType, 1) or b'a.B' != x.remoteType", "remoteType is compared"),
        ("utils.getProcessValue(d.callRemote('x'))", "replace the function"),
        ("utils.getProcessValue('x').addCallback(lambda _: d.callRemote(1))", "--keep-reactor"),
        ("namedAny('twisted.spread.pb.Root')", "use 'broker.pb.Root'"),
        ("patch('twisted.internet.reactor.callLater')", "use 'broker.reactor.callLater'"),
        ("x = 'twisted.spread.flavors:Root'", "use 'broker.pb'"),
        ("class A(pb.Broker): pass", "class A is a twisted.spread.pb.Broker: A Broker has a"),
        ("class A(banana.Banana): pass", "jelly does not use a reactor"),
        ("class A(pb.Broker):\n def x(self): self.sendDecRef(1)", "Tables and numbers belong to"),
        (
            "class A(pb.Broker):\n def proto_message(self, *a): pass",
            "One check validates all fields",
        ),
        (
            "class A(pb.PBClientFactory):\n def x(self): self._nothing",
            "PBClientFactory._nothing: not",
        ),
    ],
)
def test_to_look_at(text: str, part: str) -> None:
    """Each is reported, with its line."""
    lines = found(text)
    assert any(part in told for _, told in lines)
    assert {line for line, _ in lines} <= {1, 2}


@pytest.mark.parametrize(
    "text",
    [
        "reactor.callLater(1, f); reactor.running; pb.Root(); x.nothing; pb.MAX_BROKER_REFS = 9",
        "isinstance(x, int); x.isinstance(y, Deferred); isinstance(x)",
        "print(x.remoteType)",
        "f.trap('twisted.spread.flavors.NoSuchMethod'); f.check('twisted.spread.pb.Error')",
        "x == 'twisted.spread.flavors.NoSuchMethod'; log('twisted.web.server'); 'twisted'",
        "utils.getProcessValue('x'); utils.x; f(d.callRemote('x'))",
        # Names of other code.
        "def f(reactor): reactor.listenUDP(1)",
        "def f():\n    pb = g()\n    return pb.nothing",
        # Private members of the program, of classes made for subclassing, and of this library.
        "class A(pb.PBClientFactory):\n _b = 1\n def x(self): self._a = self._a, self._b, self.__c",
        "class A(pb.Root):\n def x(self): self._nothing",
        "class A(pb.PBClientFactory):\n def x(self): self._broker",
        "class A(B):\n def x(self): self._nothing",
    ],
)
def test_nothing_to_look_at(text: str) -> None:
    """Code that works here as with Twisted is not reported."""
    assert found(text) == []


def test_what_another_import_redefines() -> None:
    """A name that is also a class or another import is not taken for Twisted's; a method is."""
    imports = "from twisted.internet import reactor\n"
    assert found("import reactor\nreactor.listenUDP(1)", imports=imports) == []
    assert found("class reactor: pass\nreactor.listenUDP(1)", imports=imports) == []
    method = "class A:\n def reactor(self): pass\nreactor.listenUDP(1)"
    assert len(found(method, imports=imports)) == 1


def test_on_twisted_s_reactor() -> None:
    """With --keep-reactor, names of reactor modules are not reported; its functions wait too."""
    assert found("reactor.listenUDP(1)", keep_reactor=True) == []
    assert found("reactor.callLater(1, f, d.callRemote('x'))", keep_reactor=True) == []
