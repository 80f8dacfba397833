"""Links: clients that keep working over many connections."""

from broker.link.link import Link
from broker.link.recipes import LinkedReference
from broker.link.states import Connected, Connecting, Failed, Lost, Moving, State

__all__ = [
    "Connected",
    "Connecting",
    "Failed",
    "Link",
    "LinkedReference",
    "Lost",
    "Moving",
    "State",
]
