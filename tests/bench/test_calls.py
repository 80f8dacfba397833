"""The count of calls, and of the objects of a connection: they are exact."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import calls
from bench.identities import write_identities
from bench.variants import Conditions, Variant
from support.folders import ROOT


def test_equal_variants_are_equal() -> None:
    """Two variants of the same code make the same calls, one by one."""
    first, second = (
        calls.calls_of(Variant(name, ROOT), "W1", 50, Conditions("")) for name in ("a", "b")
    )
    assert first.totals == second.totals
    assert not calls.difference(first.named, second.named)
    assert first.totals[0] > 10
    assert first.named["asyncio/base_events.py:BaseEventLoop._run_once"] > 0


def test_difference() -> None:
    """The difference has what is more or less than before, also what is new or gone."""
    assert calls.difference({"same": 2.0, "more": 3.5, "new": 1.0}, {"same": 2.0, "more": 3.0}) == {
        "more": 0.5,
        "new": 1.0,
    }
    assert calls.difference({}, {"gone": 1.0, "rare": 0.001}) == {"gone": -1.0}


@pytest.mark.parametrize("tls", [False, True])
def test_objects_of_a_connection(tls: bool, tmp_path: Path) -> None:
    """A connection of a server has one avatar, and the objects of the clients are not counted."""
    write_identities(tmp_path)
    counts = calls.objects_of(Variant("new", ROOT), 20, Conditions(str(tmp_path), tls=tls))
    assert counts["Avatar"] == 1
    assert (counts.get("TLSFilter", 0) == 1) is tls
    assert "RemoteReference" not in counts


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The totals of each variant come first, then the largest counts and the differences."""
    asked = ["--variants", f"base={ROOT},new={ROOT}", "--workloads", "W1", "--count", "20"]
    assert calls.main([*asked, "--lines", "2"]) == 0
    title, head, base, new, most, *lines = capsys.readouterr().out.splitlines()
    assert title == "W1, one call at a time: calls of one operation"
    assert head.split() == ["variant", "Python", "C"]
    assert base.split()[1:] == new.split()[1:]
    assert most == "  base, most frequent:"
    assert len(lines) == 2


def test_objects_come_with_logins(capsys: pytest.CaptureFixture[str]) -> None:
    """A workload of logins prints the objects of a connection too; a failure has its error."""
    asked = ["--variants", f"base={ROOT},new={ROOT}#/bin/false", "--workloads", "W7"]
    assert calls.main([*asked, "--count", "2", "--kept", "5", "--lines", "1"]) == 1
    printed = capsys.readouterr().out
    for title in ("TCP", "TLS"):
        assert f"objects of a server's connection, {title}\n" in printed
    assert printed.count("  new              failed: it ended with status 1\n") == 3
