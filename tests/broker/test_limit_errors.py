"""Tests of the errors of the limits of connections and servers: texts and attributes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.memory import BrokerPair
from support.ticket_office import DIALECTS

from broker.core.policy import STRICT, Policy
from broker.core.wire.terms import Terms
from broker.errors import LimitExceeded, ServerBusy, TooLarge
from broker.flavors.rebuilt import rebuilt
from broker.flavors.referenceable import Root
from broker.limit_errors import TEXTS, limit_error
from broker.replies import Replies
from jelly.limit_errors import TEXTS as TEXTS_OF_JELLY

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "limits.md").read_text("utf-8")
OURS = {key: text for key, text in TEXTS.items() if key not in TEXTS_OF_JELLY}


@pytest.mark.parametrize("limit", sorted({limit for limit, _ in OURS}))
def test_each_text_is_on_the_page(limit: str) -> None:
    """The table of the page shows each text, with the default of the setting."""
    replies = (f"replies.{name}" for name in Replies.__struct_fields__)
    assert limit in (*Policy.__struct_fields__, *Terms.__struct_fields__, *replies)
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{limit}` "))
    said = row.strip("|").split(" |")[3].strip().strip("`")
    pattern = re.sub(r"\\\{\w+(:g)?\\\}", r"[0-9]+", re.escape(TEXTS[limit, ""]))
    assert re.search(rf"(^| ){pattern}$", said), (pattern, said)


class Slow(Root):
    """A root that is called too often, or that raises what its caller gives it."""

    def remote_work(self) -> None:
        """Do nothing."""

    def remote_fail(self, kind: str) -> None:
        """Raise the error of a limit, as one of another connection would be raised."""
        raise limit_error(KINDS[kind], "max_refs", 10, 11)


KINDS: dict[str, Any] = {cls.__name__: cls for cls in (LimitExceeded, ServerBusy, TooLarge)}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_busy_server(dialect: str) -> None:
    """The limit is counted at the server, and its numbers are fields of the error at the caller."""
    pair = BrokerPair(Slow(), policy=STRICT.but(max_calls=0, dialects=(dialect,)))
    error = pair.call("work").as_exception()
    assert type(error) is ServerBusy
    assert str(error) == "0 calls in flight (max_calls)"
    assert (error.limit, error.most, error.got) == ("max_calls", 0, None)
    assert pair.server.session.stats.limits == {"max_calls": 1}
    assert pair.client.session.stats.limits == {}


@pytest.mark.parametrize("kind", KINDS)
def test_of_another_connection(kind: str) -> None:
    """What a method has raised is not counted: a peer may have named its limit."""
    pair = BrokerPair(Slow(), policy=STRICT)
    failure = pair.call("fail", kind)
    assert failure.was_raised
    assert failure.fields == {"limit": "max_refs", "most": 10, "got": 11}
    assert pair.server.session.stats.limits == {}


@pytest.mark.parametrize("kind", KINDS)
def test_made_of_what_a_peer_sent(kind: str) -> None:
    """The fields have their types, or the error is not this one."""
    text = str(limit_error(KINDS[kind], "max_refs", 10))
    for fields, expected in (
        ({"limit": "max_refs", "most": 10, "got": 11.5}, ("max_refs", 10, 11.5)),
        ({"limit": "max_refs"}, ("max_refs", None, None)),
        ({}, ("", None, None)),
    ):
        made = rebuilt(KINDS[kind], text, fields)
        assert str(made) == "more than 10 live references (max_refs)"
        assert (made.limit, made.most, made.got) == expected
    for wrong in ({"limit": 5}, {"most": "10"}, {"got": True}, {"least": 1}):
        assert rebuilt(KINDS[kind], text, wrong) is None
