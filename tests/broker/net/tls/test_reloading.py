"""The context that follows its files: when it is made again, and when the old one stays."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support.rewriting import rewrite_in_place

from broker.errors import ConfigError
from broker.net.tls.reloading import KeyMismatch, ReloadingContext


class Maker:
    """Makes a new object at each call, or raises what it is told to."""

    def __init__(self) -> None:
        self.made: list[object] = []
        self.error: ConfigError | None = None
        self.tries = 0

    def __call__(self) -> Any:
        """Make one."""
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.made.append(object())
        return self.made[-1]


@pytest.fixture
def maker() -> Maker:
    """Makes the contexts."""
    return Maker()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that contexts are made from."""
    path = tmp_path / "server.pem"
    path.write_text("one")
    return path


def test_files_that_stay(maker: Maker, file: Path) -> None:
    """As long as the files do not change, the context is the same, and is made once."""
    live = ReloadingContext(maker, [file])
    assert {live.current() for _ in range(3)} == set(maker.made)
    assert maker.tries == 1


def test_a_file_that_changes(maker: Maker, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is written, replaced or restored makes one new context, and a log record."""
    caplog.set_level(logging.INFO, "broker.net.tls")
    live = ReloadingContext(maker, [file])
    file.write_text("another")
    assert live.current() is live.current() is maker.made[1]
    other = file.with_name("new")
    other.write_text("another")
    other.replace(file)
    assert live.current() is live.current() is maker.made[2]
    told = f"{file}: read again, for the connections to come"
    assert [record.getMessage() for record in caplog.records] == [told, told]


def test_a_file_whose_times_are_set_back(maker: Maker, file: Path) -> None:
    """A file of the same size and with the same time of writing is read again, too."""
    live = ReloadingContext(maker, [file])
    rewrite_in_place(file, b"two")
    assert live.current() is live.current() is maker.made[1]


def test_no_files(maker: Maker) -> None:
    """Without files no file is checked; reload makes the context again."""
    live = ReloadingContext(maker)
    assert live.current() is maker.made[0]
    live.reload()
    assert live.current() is maker.made[1]


def test_wrong_at_first(maker: Maker) -> None:
    """An error at the start is raised as it is: there is no old context."""
    maker.error = ConfigError("no such file")
    with pytest.raises(ConfigError, match=r"^no such file$"):
        ReloadingContext(maker)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyMismatch("a is not b"), "key does not match certificate; still using the old pair"),
        (ConfigError("cannot read a"), "cannot read a; still using the old pair"),
    ],
)
def test_new_files_that_are_wrong(
    maker: Maker, file: Path, caplog: pytest.LogCaptureFixture, error: ConfigError, text: str
) -> None:
    """Wrong files keep the old context, are logged once a change, and work after they change."""
    live = ReloadingContext(maker, [file])
    maker.error = error
    file.write_text("wrong")
    assert live.current() is live.current() is maker.made[0]
    assert maker.tries == 2
    file.unlink()
    assert live.current() is live.current() is maker.made[0]
    told = f"{file}: ConfigError: {text}"
    assert [record.getMessage() for record in caplog.records] == [told, told]
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    maker.error = None
    file.write_text("right")
    assert live.current() is maker.made[1]


def test_asked_to_reload_wrong_files(maker: Maker, file: Path) -> None:
    """A caller of reload gets the error with its cause; no new try before a change."""
    live = ReloadingContext(maker, [file])
    maker.error = KeyMismatch("server.key is not the key of server.pem")
    file.write_text("wrong")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^key does not match certificate; still") as caught:
            live.reload()
        assert caught.value.__cause__ is maker.error
    assert live.current() is maker.made[0]
    assert maker.tries == 3
