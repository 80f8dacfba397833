"""A chat: the room, and the methods of its members. The server stops when the last one leaves."""

from broker import defer, pb, reactor

ROOM = []


class Member(pb.Avatar):
    def __init__(self, name, window):
        self.name, self.window = name.decode(), window
        ROOM.append(self)
        print(self.name, "has come")

    @defer.inlineCallbacks
    def perspective_say(self, text):
        for member in list(ROOM):
            yield member.window.callRemote("show", self.name, text)

    def leave(self):
        ROOM.remove(self)
        if not ROOM:
            reactor.stop()
