"""A server of Twisted that takes and gives copies and errors under registered names."""

import json
import sys

from twisted.internet import reactor
from twisted.spread import pb


class SeatCopy(pb.RemoteCopy):
    """What this end holds of a seat."""


class Seat(pb.Copyable):
    """A seat of this end."""

    def __init__(self, **state):
        self.__dict__.update(state)

    def getTypeToCopy(self):
        """Return the name that both ends know."""
        return b"shop.Seat"


class SoldOut(pb.Error):
    """An error under the name that both ends know."""


SoldOut.__module__, SoldOut.__name__ = "shop", "SoldOut"
pb.setUnjellyableForClass("shop.Seat", SeatCopy)


class Root(pb.Root):
    """Gives and takes."""

    def remote_take(self, seat):
        """Tell what has come."""
        return [type(seat).__name__, sorted(seat.__dict__.items())]

    def remote_give(self, state):
        """Return a seat with any state."""
        return Seat(**state)

    def remote_fail(self):
        """Raise the error, without fields: this end does not know of them."""
        raise SoldOut("none left")

    def remote_ask(self, other):
        """Report how this end sees an error of the other."""

        def told(failure):
            return [str(failure.type), failure.getErrorMessage(), failure.check("shop.SoldOut")]

        return other.callRemote("fail").addErrback(told)


port = reactor.listenTCP(0, pb.PBServerFactory(Root()), interface="127.0.0.1")
print(json.dumps(port.getHost().port))
sys.stdout.flush()
reactor.run()
