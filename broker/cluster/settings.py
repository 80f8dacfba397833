"""Checks the arguments of a cluster: addresses, names and objects."""

from __future__ import annotations

from broker.errors import ConfigError, WrongType
from broker.flavors.referenceable import Referenceable
from broker.net.locations import HostPort
from broker.net.schemes import parse_address
from broker.topics.names import is_topic

__all__ = ["check_address", "check_name", "check_target"]

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - no client can connect to these


def check_name(name: object) -> None:
    """Check that a value is a name; a ValueError says that it is not."""
    if not is_topic(name):
        raise ValueError("not a name: tokens of A-Z a-z 0-9 _ - joined by dots")


def check_target(target: object) -> None:
    """Check that an object can be exported; a WrongType says that it cannot."""
    if not isinstance(target, Referenceable):
        raise WrongType(
            f"a Referenceable is exported, such as broker.servant(Contract)(object), not"
            f" {type(target).__name__}"
        )


def check_address(address: str, *, is_reached: bool) -> None:
    """Check the address of a node; ``is_reached`` if others are to connect to it as it is.

    Raises:
        ConfigError: it is not of TLS, or is an address of all hosts and is to be reached.
    """
    location = parse_address(address)
    if not address.startswith("pbs://") or not isinstance(location, HostPort):
        raise ConfigError("nodes reach each other by TLS: write pbs://host:port")
    if is_reached and location.host in _EVERYWHERE:
        raise ConfigError("give advertise=…: other nodes cannot connect to an address of all hosts")
