"""Parameters and results whose type is a contract: they are sent as references."""

from __future__ import annotations

from broker.defer.foreign import PLAIN
from broker.flavors.contracts.contract import contract_of
from broker.flavors.contracts.hints import type_text
from broker.flavors.contracts.plans import Plan
from broker.flavors.contracts.proxy import Proxy, proxy_of
from broker.flavors.contracts.servant import Servant, lacks, servant_of
from broker.flavors.contracts.stand_ins import Mismatch, stand_in, wrong
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.flavors.viewable import Viewable

__all__ = ["plan_of_contract"]

# Values that cannot be meant as objects with methods.
_PLAIN = PLAIN | {bytearray, set}

# Objects that are references already.
_OWN = (Referenceable, Viewable, RemoteReference)


def plan_of_contract(protocol: object) -> Plan:
    """Return the plan of a contract: proxies come, and proxies or any other objects are sent."""
    name = type_text(protocol)

    def take(value: object) -> object:
        if isinstance(value, RemoteReference):
            return proxy_of(protocol, value)
        if isinstance(value, Servant):
            # An object of this side, which has come back.
            return value.target
        if isinstance(value, Referenceable | Viewable | Proxy):
            return value
        raise wrong(name, value)

    def lower(value: object) -> object:
        if isinstance(value, Proxy):
            reference = value._broker_reference
            return reference if isinstance(reference, RemoteReference) else value
        if isinstance(value, _OWN) or type(value) in _PLAIN:
            return value
        lacking = lacks(contract_of(protocol), value)
        if lacking is not None:
            raise Mismatch(f"a `{type(value).__name__}` has no method '{lacking}' of {name}")
        return servant_of(protocol, value)

    return Plan(stand_in(name, take), lower)
