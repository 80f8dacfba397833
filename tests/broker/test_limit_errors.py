"""Tests of the errors of the limits of connections and servers: texts and attributes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.memory import BrokerPair

from broker.core.policy import STRICT, Policy
from broker.core.wire.terms import Terms
from broker.errors import LimitExceeded, ServerBusy
from broker.flavors.rebuilt import rebuilt
from broker.flavors.referenceable import Root
from broker.limit_errors import TEXTS, limit_error
from jelly.limit_errors import TEXTS as TEXTS_OF_JELLY

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "limits.md").read_text("utf-8")
OURS = {key: text for key, text in TEXTS.items() if key not in TEXTS_OF_JELLY}


@pytest.mark.parametrize("limit", sorted({limit for limit, _ in OURS}))
def test_each_text_is_on_the_page(limit: str) -> None:
    """The table of the page shows each text, with the default of the setting."""
    assert limit in (*Policy.__struct_fields__, *Terms.__struct_fields__)
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{limit}` "))
    said = row.strip("|").split(" |")[3].strip().strip("`")
    pattern = re.sub(r"\\\{\w+(:g)?\\\}", r"[0-9]+", re.escape(TEXTS[limit, ""]))
    assert re.search(rf"(^| ){pattern}$", said), (pattern, said)


class Slow(Root):
    """A root that is called too often."""

    def remote_work(self) -> None:
        """Do nothing."""


def test_a_busy_server() -> None:
    """The server counts the limit; the peer gets only the text of the error."""
    pair = BrokerPair(Slow(), policy=STRICT.but(max_calls=0))
    failure = pair.call("work")
    error = failure.as_exception()
    assert type(error) is ServerBusy
    assert str(error) == "0 calls in flight (max_calls)"
    assert (error.limit, error.most, error.got) == ("", None, None)
    assert pair.server.session.stats.limits == {"max_calls": 1}


@pytest.mark.parametrize("kind", [LimitExceeded, ServerBusy])
def test_made_of_a_peer_s_text(kind: type[Exception]) -> None:
    """An error that is made from a peer's text has no limit, even if the peer sent such fields."""
    error = limit_error(kind, "max_refs", 10)  # type: ignore[type-var]
    given: dict[str, object] = {"limit": "max_refs", "most": 10, "got": 11}
    if kind is ServerBusy:
        # Its only field is ``after``: with others it is not this error.
        assert rebuilt(kind, str(error), given) is None
        given = {}
    again = rebuilt(kind, str(error), given)
    assert again is not None
    assert str(again) == "more than 10 live references (max_refs)"
    assert (again.limit, again.most, again.got) == ("", None, None)  # type: ignore[attr-defined]
