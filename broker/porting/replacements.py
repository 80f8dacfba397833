"""The modules of Twisted and the modules here that replace them; which depend on the reactor."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FEW", "INTERFACES", "REACTOR", "REPLACEMENTS", "Replacement"]


class Replacement(NamedTuple):
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


REPLACEMENTS = [
    Replacement("twisted.spread.pb", "broker.pb"),
    Replacement("twisted.spread.flavors", "broker.pb"),
    Replacement("twisted.spread.util", "broker.pb"),
    Replacement("twisted.spread.publish", "broker.pb"),
    Replacement("twisted.spread.jelly", "jelly"),
    Replacement("twisted.spread.banana", "jelly.banana"),
    Replacement("twisted.spread.interfaces", "jelly.interfaces"),
    Replacement("twisted.cred.checkers", "cred.checkers"),
    Replacement("twisted.cred.credentials", "cred.credentials"),
    Replacement("twisted.cred.error", "cred.error"),
    Replacement("twisted.cred.portal", "cred.portal"),
    Replacement("twisted.cred.strcred", "cred.strcred"),
    Replacement("twisted.internet.defer", "broker.defer"),
    Replacement("twisted.python.failure", "broker.failure"),
    Replacement("twisted.internet.protocol", "broker.reactor.protocol", of_reactor=True),
    Replacement("twisted.internet.task", "broker.reactor.task", of_reactor=True),
    Replacement("twisted.internet.threads", "broker.reactor.threads", of_reactor=True),
    Replacement("twisted.internet.error", "broker.reactor.error", of_reactor=True),
    Replacement("twisted.internet.ssl", "broker.reactor.ssl", of_reactor=True),
    Replacement("twisted.internet.endpoints", "broker.reactor.endpoints", of_reactor=True),
    Replacement("twisted.internet.stdio", "broker.reactor.stdio", of_reactor=True),
    Replacement("twisted.enterprise.adbapi", "broker.reactor.adbapi", of_reactor=True),
    Replacement("twisted.application.service", "broker.reactor.service", of_reactor=True),
    Replacement("twisted.application.internet", "broker.reactor.service", of_reactor=True),
    Replacement("twisted.protocols.basic", "broker.reactor.basic", of_reactor=True),
    Replacement("twisted.python.components", "broker.reactor.components", of_reactor=True),
    Replacement("twisted.python.log", "broker.reactor.log", of_reactor=True),
]
"""The modules whose public names are all compared, see the page of the vocabulary."""

FEW = [
    Replacement("twisted.application.strports", "broker.reactor.strports", of_reactor=True),
    Replacement(
        "twisted.internet.asyncioreactor", "broker.reactor.asyncioreactor", of_reactor=True
    ),
    Replacement("twisted.internet.base", "broker.reactor.base", of_reactor=True),
    Replacement("twisted.internet.epollreactor", "broker.reactor.epollreactor", of_reactor=True),
    Replacement("twisted.internet.kqreactor", "broker.reactor.kqreactor", of_reactor=True),
    Replacement("twisted.internet.main", "broker.reactor.main", of_reactor=True),
    Replacement("twisted.internet.pollreactor", "broker.reactor.pollreactor", of_reactor=True),
    Replacement("twisted.internet.process", "broker.reactor.process", of_reactor=True),
    Replacement("twisted.internet.selectreactor", "broker.reactor.selectreactor", of_reactor=True),
    Replacement("twisted.internet.unix", "broker.reactor.unix", of_reactor=True),
    Replacement("twisted.python.threadpool", "broker.reactor.threadpool", of_reactor=True),
]
"""Modules of which programs use one or two names, which are here; the others are absent."""

REACTOR = Replacement("twisted.internet.reactor", "broker.reactor", of_reactor=True)
"""An object in Twisted and a module here: its names are those of the interfaces it provides."""

INTERFACES = Replacement(
    "twisted.internet.interfaces", "broker.reactor.interfaces", of_reactor=True
)
"""Only interfaces that programs implement or ask for are here."""
