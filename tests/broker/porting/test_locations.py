"""The locations of Twisted's names in this library, compared with both libraries."""

from __future__ import annotations

import importlib
import warnings

import pytest

import broker.pb
from broker.porting.findings import Kind
from broker.porting.locations import Location, class_here, outcome_of
from broker.porting.replacements import INTERFACES, REACTOR, REPLACEMENTS

ALL = [*REPLACEMENTS, REACTOR, INTERFACES]


@pytest.mark.parametrize("replacement", ALL, ids=lambda replacement: replacement.theirs)
def test_each_replacement_has_both_its_modules(replacement: object) -> None:
    """Twisted has the module that each replaces, and ours can be imported from its location."""
    theirs, ours, _ = replacement  # type: ignore[misc]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parent, _, name = theirs.rpartition(".")
        importlib.import_module(parent)
        try:
            importlib.import_module(theirs)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(parent), name)
    module, name = outcome_of(theirs).location or Location("", "")
    assert ours == (f"{module}.{name}" if module else name)
    imported = importlib.import_module(ours)
    assert module == "" or getattr(importlib.import_module(module), name) is imported


@pytest.mark.parametrize(
    ("dotted", "kind"),
    [
        ("twisted.spread.pb", Kind.MOVES),
        ("twisted.spread.pb.Root", Kind.MOVES),
        ("twisted.spread.pb.Root.rootObject", Kind.MOVES),
        ("twisted.internet.reactor.running", Kind.MOVES),
        ("twisted.internet.interfaces.ITransport", Kind.MOVES),
        ("twisted.internet.interfaces.IUDPTransport", Kind.ABSENT),
        ("twisted.internet.reactor.listenUDP", Kind.ABSENT),
        ("twisted.spread.pb.nothing", Kind.ABSENT),
        ("twisted.spread.ui", Kind.ABSENT),
        ("twisted.cred.pamauth.callIntoPAM", Kind.ABSENT),
        ("twisted.python.usage.Options", Kind.STAYS),
        ("twisted.logger.Logger", Kind.STAYS),
        ("twisted.version", Kind.STAYS),
        ("twisted.internet.utils", Kind.LOOK),
        ("twisted.web.server", Kind.LOOK),
        ("twisted.trial.unittest.TestCase", Kind.LOOK),
        ("twisted.internet.pollreactor", Kind.MOVES),
        ("twisted.internet.gtk3reactor", Kind.LOOK),
        ("twisted.internet.main.installReactor", Kind.ABSENT),
        ("twisted.internet", Kind.LOOK),
    ],
)
def test_kinds(dotted: str, kind: Kind) -> None:
    """A name moves, stays, is absent or must be looked at; a name that does not move says why."""
    outcome = outcome_of(dotted)
    assert outcome.kind is kind
    assert (outcome.location is None) == (kind is not Kind.MOVES)
    assert bool(outcome.text) == (kind is not Kind.MOVES)


def test_reasons() -> None:
    """An absent name has the reason that the vocabulary gives, if it gives one."""
    assert outcome_of("twisted.internet.reactor.listenUDP").text == "No UDP."
    basic = outcome_of("twisted.protocols.basic.LineReceiver").text
    assert (
        basic
        == "Only FileSender is needed: the other names are protocols other than Perspective Broker."
    )
    assert "Coming from Twisted" in outcome_of("twisted.spread.pb.nothing").text
    assert "asyncio" in outcome_of("twisted.internet.gtk3reactor").text
    assert "asyncio" in outcome_of("twisted.internet.main.installReactor").text


def test_on_twisted_s_reactor() -> None:
    """With --keep-reactor, names of Twisted's reactor stay, and the others still move."""
    stays = ["twisted.internet.reactor", "twisted.internet.task.react", "twisted.web.server"]
    assert {outcome_of(name, keep_reactor=True).kind for name in stays} == {Kind.STAYS}
    moves = ["twisted.spread.pb", "twisted.internet.defer.Deferred", "twisted.cred.portal.IRealm"]
    assert {outcome_of(name, keep_reactor=True).kind for name in moves} == {Kind.MOVES}


def test_classes() -> None:
    """A class of Twisted is found here; functions, modules and absent names are None."""
    assert class_here("twisted.spread.pb.Broker") is broker.pb.Broker
    assert class_here("twisted.spread.flavors.Referenceable") is broker.pb.Referenceable
    others = ["respond", "nothing"]
    assert [class_here(f"twisted.spread.pb.{name}") for name in others] == [None, None]
    assert class_here("twisted.spread.pb") is class_here("twisted.web.server.Site") is None
