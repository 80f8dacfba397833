"""The avatar of PB clients: what a client may call, and what it is told.

A client connects to the server as a user; its mind is an object whose ``remote_heard(event, room,
who, text)`` is called for each event of `examples.chat.model`. Without a mind it is told nothing
but the changes of the rooms it has joined.

=========================== ===========================================================
method of the avatar        effect
=========================== ===========================================================
``banner()``                returns the banner, a str
``rooms()``                 returns a list of (name, number of people, topic)
``people()``                returns the names of all who are here, a list
``join(room)``              goes into the room; returns a cache of it, see below
``part(room, why="")``      leaves the room
``say(where, text)``        says a text in a room, or to a person
``notice(where, text)``     the same, as a bot
``topic(room, text)``       sets the topic
=========================== ===========================================================

They raise the errors of `examples.chat.errors`, whose names on the wire begin with ``chat.``.

A room is a cache with the name ``chat.Room`` and the state ``name``, ``topic``, ``names`` (a list)
and ``history`` (a list of (time, who, text), the last lines before the client came). It is kept up
to date until the client leaves the room, by ``observe_joined(who)``, ``observe_left(who, why)`` and
``observe_topic(who, text)``. What is said comes to the mind only. A client that joins again gets a
new cache.

``heard("gone", "", name, why)`` is the last event; the server then closes the connection. A client
that does not take its events is disconnected when 1,000 of them wait.
"""
