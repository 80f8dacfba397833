"""What survives a restart, in both kinds of database."""

import logging
import time

import pytest
from sqlalchemy import event
from support.postgres import running_postgres

from examples.chat import archive
from examples.chat.archive import SQLArchive
from examples.chat.model import Town
from examples.chat.rooms import HISTORY, Line


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sql:sqlite:///{tmp_path / 'chat.sqlite'}"
    else:
        with running_postgres() as server:
            yield f"sql:{server.url}"


def loaded(address):
    """A town as the database has it."""
    town = Town()
    kept = SQLArchive(address)
    kept.load(town)
    kept.close()
    return town


def test_all_of_it(address):
    """Banner, topics and the last lines are there again, in order; a forgotten room is not."""
    kept = SQLArchive(address)
    kept.keep_banner("one")
    kept.keep_banner("two\nlines")
    kept.keep_topic("#tea", "lemon?")
    kept.keep_topic("#tea", "milk?")
    lines = [Line(float(number), "alice", f"line {number} ü") for number in range(HISTORY + 10)]
    for line in lines:
        kept.keep_line("#tea", line)
        kept.keep_line("#gone", line)
    kept.forget_room("#gone")
    kept.close()
    for _ in range(2):
        town = loaded(address)
        assert town.banner == "two\nlines"
        assert list(town.rooms) == ["#tea"]
        assert town.rooms["#tea"].topic == "milk?"
        assert list(town.rooms["#tea"].history) == lines[-HISTORY:]


def test_a_database_that_fails_for_a_time(tmp_path, monkeypatch, caplog):
    """A change is tried again, and nothing that was said is in the log."""
    monkeypatch.setattr(archive, "RETRY", 0.01)
    address = f"sql:sqlite:///{tmp_path / 'chat.sqlite'}"
    kept = SQLArchive(address)
    failures = [1, 2, 3]

    def fail(connection, cursor, statement, parameters, context, executemany):
        if failures:
            failures.pop()
            raise archive.exc.OperationalError(statement, parameters, Exception("disk is full"))

    event.listen(kept._engine, "before_cursor_execute", fail)
    with caplog.at_level(logging.ERROR):
        kept.keep_line("#tea", Line(1.0, "alice", "a secret"))
        while failures:
            time.sleep(0.01)
        kept.close()
    assert [line.text for line in loaded(address).rooms["#tea"].history] == ["a secret"]
    assert "disk is full" in caplog.text
    assert "a secret" not in caplog.text
