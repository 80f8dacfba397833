"""The published interfaces, and who provides them."""

from __future__ import annotations

from zope.interface.verify import verifyClass, verifyObject

import broker
from broker.connection.broker import Broker
from broker.interfaces import IPBRoot, IPerspective
from broker.login.server import PortalRoot
from cred.portal import Portal


def test_roots() -> None:
    """A Root is its own root object; a portal's root is made for each connection."""
    root = broker.Root()
    assert verifyObject(IPBRoot, root)
    assert root.rootObject(None) is root
    served = PortalRoot(Portal(broker.realm(lambda avatar_id, mind: None)))
    assert verifyObject(IPBRoot, served)
    connection = Broker(False)
    assert served.rootObject(connection) is not served.rootObject(connection)


def test_perspectives() -> None:
    """An Avatar is what a realm is asked for."""
    assert verifyClass(IPerspective, broker.Avatar)
    assert IPerspective.implementedBy(broker.Avatar)
