"""Grants: whole patterns are covered by one grant."""

from __future__ import annotations

import pytest

import broker


def test_grants() -> None:
    """A grant covers a whole pattern; two together do not; an empty record allows nothing."""
    grants = broker.Grants(subscribe=["p.A", "p.B", "q.>"], publish=["c.*"], presence=["c.*"])
    assert grants.may_subscribe("p.A") and grants.may_subscribe("q.*.x")
    assert not grants.may_subscribe("p.*")
    assert grants.may_publish("c.x") and not grants.may_publish("c.x.y")
    assert grants.may_see("c.*") and not grants.may_see("c.>")
    assert not broker.Grants().may_subscribe("a")


@pytest.mark.parametrize("patterns", ["a.*", ["a b"], [1]])
def test_wrong_grants(patterns: object) -> None:
    """Grants of another form are refused when they are made."""
    with pytest.raises(broker.ConfigError):
        broker.Grants(subscribe=patterns)  # type: ignore[arg-type]
