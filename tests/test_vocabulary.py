"""The vocabulary: what differs from Twisted's names has a reason, and stands on the page."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from typing import Any

import pytest
from vocabulary import field, replacements, signatures, walker
from vocabulary import vocabulary_page as page

from broker.porting import reasons


@pytest.fixture(scope="module")
def walks() -> Any:
    """What the walk through the installed Twisted finds."""
    return walker.walk_all()


def test_every_difference_has_a_reason(walks: Any) -> None:
    """No published name is absent or differs, but for a reason that is written down."""
    assert page.unexplained(walks) == []


def test_no_reason_is_stale(walks: Any) -> None:
    """Each reason is for a name that is absent or differs."""
    assert page.stale(walks) == []


def test_the_page_is_what_was_found(walks: Any) -> None:
    """The page is what `make vocabulary` would write."""
    assert page.PAGE.read_text("utf-8") == page.page_of(walks)


def test_each_module_of_the_table_is_walked(walks: Any) -> None:
    """Each replacement is found on both sides, and most of its names are the same."""
    for replacement, count, differences in walks:
        assert count > len(differences) or replacement.theirs == "twisted.protocols.basic", (
            replacement
        )
    assert sum(walk.count for walk in walks) > 1000


def test_a_reason_for_a_group_is_for_absent_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern with a star explains what is absent, never what differs."""
    monkeypatch.setattr(reasons, "REASONS", {"Not here.": "there.*"})
    assert page.reason_of(signatures.Difference("there.name")) == "Not here."
    assert page.reason_of(signatures.Difference("there.name", "(a)", "(b)")) == ""


def shape(first: Any, second: Any) -> Any:
    """How two callables differ."""
    return [found[1:] for found in signatures.compare("name", first, second)]


def test_what_a_difference_is() -> None:
    """Names, order, kinds and defaults count; optional keywords of ours and names of * do not."""

    def theirs(first: Any, second: Any = 1, *rest: Any) -> None:
        """One."""

    def same(first: Any, second: Any = 1, *others: Any, more: Any = None) -> None:
        """Two."""

    def renamed(first: Any, other: Any = 1, *rest: Any) -> None:
        """Three."""

    def valued(first: Any, second: Any = 2, *rest: Any) -> None:
        """Four."""

    def demanding(first: Any, second: Any = 1, *rest: Any, more: Any) -> None:
        """Five."""

    assert shape(theirs, same) == []
    assert shape(theirs, renamed) == [("(first, second=1, *rest)", "(first, other=1, *rest)")]
    assert shape(theirs, valued) == [("(first, second=1, *rest)", "(first, second=2, *rest)")]
    assert len(shape(theirs, demanding)) == 1
    assert shape(1, 2) == [("1", "2")]
    assert shape(theirs, 5) == [("callable", "int")]
    assert shape(KeyError, theirs) == [("a class", "a function")]


def test_a_name_that_is_taken_away_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function, a method and a base that are not there any more are differences."""
    pb = importlib.import_module("broker.pb")
    replacement = next(
        replacement
        for replacement in replacements.REPLACEMENTS
        if replacement.theirs == "twisted.spread.pb"
    )
    before = walker._walk_module(replacement).differences

    monkeypatch.delattr(pb, "respond")
    monkeypatch.delattr(pb.PBClientFactory, "disconnect")
    monkeypatch.setattr(pb, "DeadReferenceError", KeyError)

    found = [
        found.name for found in walker._walk_module(replacement).differences if found not in before
    ]
    prefix = "twisted.spread.pb"
    assert found == [
        f"{prefix}.DeadReferenceError (bases)",
        f"{prefix}.PBClientFactory.disconnect",
        f"{prefix}.respond",
    ]


def test_each_import_of_the_field_is_here_or_has_a_reason() -> None:
    """What programs in the field import can be imported here, or the page says what does it."""
    rows = field.imports()
    assert (len(rows), sum(row.programs for row in rows)) == (139, 247)
    assert page.unexplained_imports() == []
    assert page.stale_instead() == []


def test_an_import_that_is_taken_away_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import and a name of a copied recipe that are not there any more are found out."""
    pb = importlib.import_module("broker.pb")
    before = field.share(field.imports())
    monkeypatch.delattr(pb, "challenge")
    monkeypatch.delattr(pb.PBClientFactory, "_failAll")
    assert page.unexplained_imports() == [
        "twisted.spread.pb.challenge",
        "broker.pb.PBClientFactory._failAll",
    ]
    assert field.share(field.imports()) != before


def test_twisted_has_what_the_field_reads() -> None:
    """Each name that is said to be read is one of Twisted's own."""
    for reading in field.READ:
        thing: Any = pkgutil.resolve_name(reading.theirs)
        # Of a connection that was accepted; nothing makes one without a socket.
        skipped = {"sessionno"} if reading.theirs.endswith("Server") else set()
        is_made = isinstance(thing, type) and not reading.theirs.endswith(("Process", "Port"))
        made = thing() if is_made and not skipped else thing
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            names = [name for name in reading.names.split() if not hasattr(made, name)]
        assert set(names) == skipped, reading
