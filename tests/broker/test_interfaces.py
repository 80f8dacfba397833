"""The published interfaces, and who provides them."""

from __future__ import annotations

from zope.interface.verify import verifyClass, verifyObject

import broker
from broker.admission import PortalRoot
from broker.interfaces import IPBRoot, IPerspective
from cred.portal import Portal


def test_roots() -> None:
    """A Root is its own root object; a portal's root is made for each connection."""
    root = broker.Root()
    assert verifyObject(IPBRoot, root)
    assert root.rootObject(None) is root
    served = PortalRoot(Portal(broker.realm(lambda avatar_id, mind: None), []))
    assert verifyObject(IPBRoot, served)
    assert served.rootObject(None) is not served.rootObject(None)


def test_perspectives() -> None:
    """An Avatar is what a realm is asked for."""
    assert verifyClass(IPerspective, broker.Avatar)
    assert IPerspective.implementedBy(broker.Avatar)
