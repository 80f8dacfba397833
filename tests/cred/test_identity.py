"""cred.identity: an avatar id that knows groups and an end."""

from __future__ import annotations

import pickle
import threading
from typing import Any

from cred import Identity


def test_is_a_str() -> None:
    """A realm that expects a user name gets one, equal to the plain name."""
    alice = Identity("alice", ["staff", "staff"], 5.0)
    assert isinstance(alice, str)
    assert {"alice": 1}[alice] == 1
    assert f"{alice}" == "alice"
    assert (alice.groups, alice.expires) == (frozenset({"staff"}), 5.0)


def test_plain() -> None:
    """Without more it is in no group, and lasts."""
    assert (Identity("bob").groups, Identity("bob").expires) == (frozenset(), None)


def test_survives_a_copy() -> None:
    """Pickled and loaded it knows what it knew."""
    checker: Any = threading.Lock()
    loaded = pickle.loads(pickle.dumps(Identity("alice", ["staff"], 5.0, checker)))
    assert (loaded, loaded.groups, loaded.expires) == ("alice", frozenset({"staff"}), 5.0)
    # It can be of any type, and belongs to the server.
    assert loaded.checker is None
