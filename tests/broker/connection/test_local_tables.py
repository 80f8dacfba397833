"""The published tables of a Broker: what the peer holds, and what happens when it lets go."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from support.memory import BrokerPair

from broker.connection.local_tables import Local
from broker.core.policy import PUBLISHED
from broker.flavors.referenceable import Referenceable, Root


class Giver(Root):
    """Hands out one thing of its own."""

    def __init__(self) -> None:
        self.thing = Referenceable()

    def remote_thing(self) -> Any:
        """Return it."""
        return self.thing


@pytest.fixture
def pair() -> BrokerPair:
    """Two brokers, of which the server gives."""
    return BrokerPair(Giver(), policy=PUBLISHED)


def thing_of(pair: BrokerPair) -> Any:
    """What the server hands out."""
    return pair.server.localObjectForID("root").thing


def test_local_objects_and_ids(pair: BrokerPair) -> None:
    """Each object stands under its id, with its count; the root under its name; nothing else."""
    kept = [pair.call("thing") for _ in range(3)]
    objects, luids = pair.server.localObjects, pair.server.luids
    assert objects is not None
    assert luids is not None
    thing = thing_of(pair)
    luid = luids[thing.processUniqueID()]
    assert luid == kept[0].luid
    assert (objects[luid].object, objects[luid].refcount) == (thing, 3)
    assert objects[luid].perspective is None
    assert repr(objects[luid]) == f"<pb.Local {thing!r} ref:3>"
    assert (set(objects), len(objects), len(luids)) == ({luid, b"root"}, 2, 1)
    assert dict(luids) == {thing.processUniqueID(): luid}
    assert objects.get(99) is None
    with pytest.raises(KeyError):
        objects[99]
    kept.clear()
    gc.collect()
    pair.exchange()
    assert (set(objects), len(luids)) == ({b"root"}, 0)


def test_counts_that_a_program_changes(pair: BrokerPair) -> None:
    """A sending more keeps the object when the peer has dropped its own; one less does not."""
    kept = [pair.call("thing")]
    objects = pair.server.localObjects
    assert objects is not None
    luid = kept[0].luid
    assert objects[luid].incref() == 2
    kept.clear()
    gc.collect()
    pair.exchange()
    assert objects[luid].refcount == 1
    assert objects[luid].decref() == 0


def test_a_local_by_itself() -> None:
    """One that a program makes counts from one, and has what it was given."""
    local = Local("thing", perspective="somebody")
    assert (local.object, local.perspective, local.refcount) == ("thing", "somebody", 1)
    assert (local.incref(), local.decref(), local.decref()) == (2, 1, 0)


def test_cleanup_before_and_after_sending(pair: BrokerPair) -> None:
    """What is noted for an object is called once when it is let go, whenever it was noted."""
    cleanup, puid = pair.server._localCleanup, thing_of(pair).processUniqueID()
    called: list[str] = []
    for when in ("before", "after"):
        if when == "before":
            cleanup[puid] = lambda: called.append("before")
        kept = [pair.call("thing")]
        if when == "after":
            cleanup[puid] = lambda: called.append("after")
        assert (list(cleanup), len(cleanup), puid in cleanup) == ([puid], 1, True)
        assert called == (["before"] if when == "after" else [])
        kept.clear()
        gc.collect()
        pair.exchange()
        assert (called[-1], len(cleanup)) == (when, 0)
    assert called == ["before", "after"]


@pytest.mark.parametrize("is_sent", [True, False])
def test_cleanup_that_is_taken_back(pair: BrokerPair, is_sent: bool) -> None:
    """What was taken back is not called; taking back what is not there is a KeyError."""
    cleanup, puid = pair.server._localCleanup, thing_of(pair).processUniqueID()
    called: list[str] = []
    kept = [pair.call("thing")] if is_sent else []
    cleanup[puid] = lambda: called.append("called")
    taken = cleanup.pop(puid)
    assert cleanup.pop(puid, None) is None
    with pytest.raises(KeyError):
        del cleanup[puid]
    kept.append(pair.call("thing"))
    kept.clear()
    gc.collect()
    pair.exchange()
    assert called == []
    taken()
    assert called == ["called"]


def test_what_is_left_at_the_end(pair: BrokerPair) -> None:
    """The tables are None once all is over, and still there for those who are told of it."""
    kept = pair.call("thing")
    told: list[Any] = []
    pair.server.notifyOnDisconnect(lambda: told.append(set(pair.server.localObjects or ())))
    pair.cut()
    assert told == [{kept.luid, b"root"}]
    assert (pair.server.localObjects, pair.server.luids) == (None, None)
    assert (pair.server.disconnects, pair.server.failures, pair.server.connects) == ([], [], [])
