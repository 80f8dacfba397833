"""The test kit for programs that use this library: two connected ends in memory, and more.

Names are loaded when they are first used. Nothing else in this library imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Leak",
    "Pair",
    "Peer",
    "VirtualClock",
    "Wire",
    "call",
    "calling_as",
    "every_cut",
    "pair",
    "peer",
    "record",
    "virtual_clock",
]

if TYPE_CHECKING:
    from broker.testing.calling import call, calling_as
    from broker.testing.clock import VirtualClock, virtual_clock
    from broker.testing.connected_pair import Pair, pair
    from broker.testing.conversation import record
    from broker.testing.cuts import every_cut
    from broker.testing.leaks import Leak
    from broker.testing.network import Wire
    from broker.testing.scripted_peer import Peer, peer

_HOMES = {
    "broker.testing.calling": "call calling_as",
    "broker.testing.clock": "VirtualClock virtual_clock",
    "broker.testing.conversation": "record",
    "broker.testing.cuts": "every_cut",
    "broker.testing.leaks": "Leak",
    "broker.testing.network": "Wire",
    "broker.testing.connected_pair": "Pair pair",
    "broker.testing.scripted_peer": "Peer peer",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:
    # A type checker that sees this function accepts every misspelt name.
    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'broker.testing' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value
