"""Shared by the programs of a lobby: objects that send themselves, and reference subclasses.

Each object is a Referenceable that is sent under its own tag, with an id of the connection. Its
receiver makes a subclass of RemoteReference for the tag, in one of the ways in which programs make
one.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

from world import pb

__all__ = ["Bell", "Dice", "Ear", "Guest", "Seat", "Table"]


def number_of(jellier, thing):
    """Count one sending."""
    return jellier.invoker.registerReference(thing)


class Ear(pb.Referenceable):
    """A client's mind: sent as its tag and an id, and read by RemoteReference's own methods."""

    def __init__(self):
        self.heard = []

    def jellyFor(self, jellier):
        return b"lobby.Ear", number_of(jellier, self)

    def remote_hear(self, table, line):
        self.heard.append([type(table).__name__, table.name, line])
        return table


class EarReference(pb.RemoteReference):
    name = ""

    def hear(self, table, line):
        return self.callRemote("hear", table, line)


pb.setUnjellyableForClass("lobby.Ear", EarReference)


class Table(pb.Referenceable):
    """Made anew for each sending; its names identify it. A name is before the id."""

    def __init__(self, guest, name):
        self.guest = guest
        self.name = name

    def processUniqueID(self):
        return hash(("table", self.name))

    def jellyFor(self, jellier):
        return b"lobby.Table", self.name.encode("utf-8"), number_of(jellier, self)

    def remote_say(self, line):
        return self.guest.tell(self, line)

    def remote_name(self):
        return self.name


class TableReference(pb.RemoteReference):
    def unjellyFor(self, unjellier, unjellyList):
        tag, name, number = unjellyList
        self.name = name.decode("utf-8")
        return pb.RemoteReference.unjellyFor(self, unjellier, [tag, number])


pb.setUnjellyableForClass(b"lobby.Table", TableReference)


class Seat(pb.Referenceable):
    """Sent with a state; the reference is made by a class method, which calls ``__init__``."""

    def __init__(self, row):
        self.row = row

    def jellyFor(self, jellier):
        return [b"lobby.Seat", number_of(jellier, self), jellier.jelly({"row": self.row})]

    def remote_row(self):
        return self.row


class SeatReference(pb.RemoteReference):
    def __init__(self, perspective, broker, luid, doRefCount):
        super().__init__(perspective, broker, luid, doRefCount)
        self.made = "by __init__"

    @classmethod
    def unjellyFor(cls, unjellier, jellyList):
        invoker = unjellier.invoker
        seat = cls(invoker.unserializingPerspective, invoker, jellyList[1], 1)
        seat.state = unjellier.unjelly(jellyList[2])
        return seat

    def postUnjelly(self):
        self.after = "postUnjelly"


pb.setUnjellyableForClass("lobby.Seat", SeatReference)


class Bell(pb.Referenceable):
    """Read by a static method as a reference that the receiver does not count."""

    def jellyFor(self, jellier):
        return [b"lobby.Bell", number_of(jellier, self)]

    def remote_ring(self):
        return "ding"


class BellReference(pb.RemoteReference):
    @staticmethod
    def unjellyFor(unjellier, jellyList):
        bell = BellReference.__new__(BellReference)
        pb.RemoteReference.__init__(bell, None, unjellier.invoker, jellyList[1], 0)
        return bell


pb.setUnjellyableForClass("lobby.Bell", BellReference)


class Dice(pb.Referenceable):
    """Read by a function; sent so that it can be in a message twice."""

    def jellyFor(self, jellier):
        sexp = jellier.prepare(self)
        sexp.extend([b"lobby.Dice", number_of(jellier, self)])
        return jellier.preserve(self, sexp)

    def remote_roll(self):
        return 6


class DiceReference(pb.RemoteReference):
    def __init__(self, perspective, broker, luid, doRefCount):
        pb.RemoteReference.__init__(self, perspective, broker, luid, doRefCount)
        self.made = "by its own __init__"


pb.setUnjellyableForClass("lobby.Dice", DiceReference)


class Guest(pb.Referenceable):
    """An avatar that is not an Avatar: sent by its own ``jellyFor``, called by ``remote_``."""

    def __init__(self, user):
        self.user = user

    def jellyFor(self, jellier):
        return b"lobby.Guest", number_of(jellier, self)

    def remote_join(self, name):
        return self.user.join(name)

    def remote_is_mine(self, table):
        return [type(table).__name__, table.name, table.guest is self.user]

    def remote_mind(self):
        return [type(self.user.mind).__name__, self.user.mind.name]

    def remote_things(self):
        return self.user.things()

    def remote_dice(self):
        dice = Dice()
        return dice, dice

    def remote_keep(self, *ears):
        self.user.kept.extend(ears)
        return [type(ear).__name__ for ear in ears]

    def remote_forget(self):
        self.user.kept.clear()

    def remote_gone(self, name):
        return self.user.gone(name)

    def remote_alive(self, name):
        return self.user.is_alive(name)

    def remote_refuse(self, *values):
        return len(values)


class GuestReference(pb.RemoteReference):
    def join(self, name):
        return self.callRemote("join", name)


pb.setUnjellyableForClass("lobby.Guest", GuestReference)
