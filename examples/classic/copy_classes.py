"""Copies: a class whose objects are sent by value, and the class of the receiver."""

from broker import pb


class Letter(pb.Copyable):
    def __init__(self, sender, lines):
        self.sender, self.lines, self.draft = sender, lines, "not for the reader"

    def getStateToCopy(self):
        return {"sender": self.sender, "lines": self.lines}


class ReceivedLetter(pb.RemoteCopy):
    def setCopyableState(self, state):
        self.__dict__.update(state, read=False)


pb.setUnjellyableForClass(Letter, ReceivedLetter)
