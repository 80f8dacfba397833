"""The modules of Twisted and the modules here that replace them; which depend on the reactor."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FEW", "INTERFACES", "REACTOR", "ROOMS", "Room"]


class Room(NamedTuple):
    """A module of Twisted, and the module here that replaces it.

    Attributes:
        theirs: dotted name of Twisted's module.
        ours: dotted name of the module here.
        of_reactor: whether it works only with the reactor of its own library. The others work with
            either reactor, so a program that keeps Twisted's can still move them.
    """

    theirs: str
    ours: str
    of_reactor: bool = False


ROOMS = [
    Room("twisted.spread.pb", "broker.pb"),
    Room("twisted.spread.flavors", "broker.pb"),
    Room("twisted.spread.util", "broker.pb"),
    Room("twisted.spread.publish", "broker.pb"),
    Room("twisted.spread.jelly", "jelly"),
    Room("twisted.spread.banana", "jelly.banana"),
    Room("twisted.spread.interfaces", "jelly.interfaces"),
    Room("twisted.cred.checkers", "cred.checkers"),
    Room("twisted.cred.credentials", "cred.credentials"),
    Room("twisted.cred.error", "cred.error"),
    Room("twisted.cred.portal", "cred.portal"),
    Room("twisted.cred.strcred", "cred.strcred"),
    Room("twisted.internet.defer", "broker.defer"),
    Room("twisted.python.failure", "broker.failure"),
    Room("twisted.internet.protocol", "broker.reactor.protocol", of_reactor=True),
    Room("twisted.internet.task", "broker.reactor.task", of_reactor=True),
    Room("twisted.internet.threads", "broker.reactor.threads", of_reactor=True),
    Room("twisted.internet.error", "broker.reactor.error", of_reactor=True),
    Room("twisted.internet.ssl", "broker.reactor.ssl", of_reactor=True),
    Room("twisted.internet.endpoints", "broker.reactor.endpoints", of_reactor=True),
    Room("twisted.internet.stdio", "broker.reactor.stdio", of_reactor=True),
    Room("twisted.application.service", "broker.reactor.service", of_reactor=True),
    Room("twisted.application.internet", "broker.reactor.service", of_reactor=True),
    Room("twisted.protocols.basic", "broker.reactor.basic", of_reactor=True),
    Room("twisted.python.components", "broker.reactor.components", of_reactor=True),
    Room("twisted.python.log", "broker.reactor.log", of_reactor=True),
]
"""The modules whose public names are all compared, see the page of the vocabulary."""

FEW = [
    Room("twisted.application.strports", "broker.reactor.strports", of_reactor=True),
    Room("twisted.internet.asyncioreactor", "broker.reactor.asyncioreactor", of_reactor=True),
    Room("twisted.internet.base", "broker.reactor.base", of_reactor=True),
    Room("twisted.internet.epollreactor", "broker.reactor.epollreactor", of_reactor=True),
    Room("twisted.internet.kqreactor", "broker.reactor.kqreactor", of_reactor=True),
    Room("twisted.internet.main", "broker.reactor.main", of_reactor=True),
    Room("twisted.internet.pollreactor", "broker.reactor.pollreactor", of_reactor=True),
    Room("twisted.internet.process", "broker.reactor.process", of_reactor=True),
    Room("twisted.internet.selectreactor", "broker.reactor.selectreactor", of_reactor=True),
    Room("twisted.internet.unix", "broker.reactor.unix", of_reactor=True),
    Room("twisted.python.threadpool", "broker.reactor.threadpool", of_reactor=True),
]
"""Modules of which programs use one or two names, which have a home here; others have none."""

REACTOR = Room("twisted.internet.reactor", "broker.reactor", of_reactor=True)
"""An object in Twisted and a module here: its names are those of the interfaces it provides."""

INTERFACES = Room("twisted.internet.interfaces", "broker.reactor.interfaces", of_reactor=True)
"""Only interfaces that programs implement or ask for have a home here."""
