"""Keeps banner, topics and histories in the database of the users; written by a thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    exc,
    select,
)
from sqlalchemy.engine import make_url

from examples.chat.model import Town
from examples.chat.rooms import HISTORY, Line, Room

__all__ = ["SQLArchive"]

MOST_WAITING = 10_000
"""How many changes may wait for the database; later ones are lost."""

RETRY = 1.0
"""Seconds until a change is tried again that the database has not taken."""

_METADATA = MetaData()
_BANNER = Table("chat_banner", _METADATA, Column("text", String, nullable=False))
_ROOMS = Table(
    "chat_rooms",
    _METADATA,
    Column("name", String(51), primary_key=True),
    Column("topic", String(300), nullable=False),
)
_LINES = Table(
    "chat_lines",
    _METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("room", String(51), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("who", String(32), nullable=False),
    Column("text", String(500), nullable=False),
)

Change: TypeAlias = Callable[[Connection], object]

logger = logging.getLogger("examples.chat")


class SQLArchive:
    """Keeps what survives a restart.

    Args:
        address: as of the store of users, ``sql:sqlite:///chat.sqlite`` or ``sql:postgresql://…``.
            The tables are made if they are not there.
    """

    def __init__(self, address: str):
        url = make_url(address.removeprefix("sql:"))
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        self._engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
        _METADATA.create_all(self._engine)
        self._changes: queue.Queue[Change | None] = queue.Queue(MOST_WAITING)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="chat archive", daemon=True)
        self._thread.start()

    def load(self, town: Town) -> None:
        """Give a town its banner and its rooms; the lines that no history holds are deleted."""
        with self._engine.begin() as connection:
            banner = connection.execute(select(_BANNER.c.text)).scalar()
            if banner is not None:
                town.banner = banner
            for name, topic in connection.execute(select(_ROOMS.c.name, _ROOMS.c.topic)).all():
                town.rooms[name] = room = Room(name)
                room.topic = topic
                self._load_lines(connection, room)
        town.archive = self

    def keep_banner(self, banner: str) -> None:
        """Keep the banner."""

        def change(connection: Connection) -> None:
            connection.execute(delete(_BANNER))
            connection.execute(_BANNER.insert().values(text=banner))

        self._keep(change)

    def keep_topic(self, room: str, topic: str) -> None:
        """Keep the topic of a room."""

        def change(connection: Connection) -> None:
            _need_room(connection, room)
            connection.execute(_ROOMS.update().where(_ROOMS.c.name == room).values(topic=topic))

        self._keep(change)

    def keep_line(self, room: str, line: Line) -> None:
        """Keep a line."""

        def change(connection: Connection) -> None:
            _need_room(connection, room)
            connection.execute(_LINES.insert().values(room=room, **line._asdict()))

        self._keep(change)

    def forget_room(self, room: str) -> None:
        """Delete all of a room."""

        def change(connection: Connection) -> None:
            connection.execute(delete(_LINES).where(_LINES.c.room == room))
            connection.execute(delete(_ROOMS).where(_ROOMS.c.name == room))

        self._keep(change)

    def close(self) -> None:
        """Write what waits, and close the connections; call it in a thread."""
        self._is_closing.set()
        self._changes.put(None)
        self._thread.join()
        self._engine.dispose()

    def _load_lines(self, connection: Connection, room: Room) -> None:
        mine = _LINES.c.room == room.name
        found = select(_LINES).where(mine).order_by(_LINES.c.number.desc()).limit(HISTORY)
        rows = connection.execute(found).all()
        room.history.extend(Line(row.at, row.who, row.text) for row in reversed(rows))
        if rows:
            connection.execute(delete(_LINES).where(mine, _LINES.c.number < rows[-1].number))

    def _keep(self, change: Change) -> None:
        try:
            self._changes.put_nowait(change)
        except queue.Full:
            logger.error("a change of the chat is lost: the database is too slow")

    def _write(self) -> None:
        while True:
            changes: list[Change | None] = [self._changes.get()]
            while not self._changes.empty() and len(changes) < 100:
                changes.append(self._changes.get())
            is_last = None in changes
            self._write_all([change for change in changes if change is not None])
            if is_last:
                return

    def _write_all(self, changes: list[Change]) -> None:
        while changes:
            try:
                with self._engine.begin() as connection:
                    for change in changes:
                        change(connection)
                return
            except exc.SQLAlchemyError as error:
                logger.error("the chat cannot be kept: %s", _cause(error))
                if self._is_closing.wait(RETRY):
                    # Once more at the end, and then no more.
                    self._try_last(changes)
                    return

    def _try_last(self, changes: list[Change]) -> None:
        try:
            with self._engine.begin() as connection:
                for change in changes:
                    change(connection)
        except exc.SQLAlchemyError as error:
            logger.error("%d changes of the chat are lost: %s", len(changes), _cause(error))


def _need_room(connection: Connection, room: str) -> None:
    if connection.execute(select(_ROOMS.c.name).where(_ROOMS.c.name == room)).first() is None:
        connection.execute(_ROOMS.insert().values(name=room, topic=""))


def _cause(error: Any) -> str:
    # Without the statement, which has what people have said.
    return str(getattr(error, "orig", None) or type(error).__name__).strip()[:200]
