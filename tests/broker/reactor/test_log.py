"""The published log: records of the standard library's logging, and their observers."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from broker.failure import Failure
from broker.reactor import log

PROGRAM = """
    import sys

    out = sys.stdout
    print("before")
    log.startLogging(out)
    print("printed", end=" ")
    print("in pieces\\nand lines")
    print("an error", file=sys.stderr)
    log.msg("a", "b", 3)
    log.msg(format="%(x)s and %(y)d", x="ex", y=4)
    log.msg("said", system="somebody")
    log.callWithContext({"system": "outer"}, log.callWithContext, {"x": 1}, log.msg, "inside")
    try:
        1 / 0
    except ZeroDivisionError:
        log.err(None, "why")
        log.deferr()
    log.err("a text")
    log.err(ValueError("bad"))
    log.msg("two\\nlines")
    log.msg()

    class Speaker:
        def logPrefix(self):
            return "Speaker,1"

    log.callWithLogger(Speaker(), log.msg, "in its name")
    print(log.callWithLogger(Speaker(), lambda: 1 / 0), file=out)

    events = []
    log.addObserver(events.append)
    log.msg("m", extra=1)
    log.err(ValueError("v"), "why")
    log.removeObserver(events.append)
    log.removeObserver(events.append)
    log.msg("unheard")
    for event in events:
        print(event["isError"], event["message"], event["system"], event.get("why"), file=out)
        print(event.get("extra"), type(event["time"]), "failure" in event, file=out)
        print(log.textFromEventDict(event), file=out)
    observer = log.FileLogObserver(out)
    observer.timeFormat = "then"
    observer.emit({"message": ("x",), "isError": 0, "time": 0, "system": "s"})
"""

HEADS = {
    "ours": "from broker.reactor import log\n",
    "twisted": "from twisted.python import log\n",
}


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """The events of an observer."""
    heard: list[dict[str, Any]] = []
    log.addObserver(heard.append)
    yield heard
    log.removeObserver(heard.append)


def printed(library: str) -> str:
    """Run the program with one library; return its output with the times left out."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HEADS[library] + textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Frames of the library itself are not compared.
    text = re.sub(r'(?m)^.*File ".*(twisted|broker)/.*\n.*\n(\t +[\^~]+\n)?', "", done.stdout)
    return re.sub(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4}", "TIME", text)


def test_same_log() -> None:
    """A program's log looks the same here and with Twisted."""
    ours = printed("ours")
    assert "TIME [Speaker,1] in its name\n" in ours
    assert ours.splitlines() == printed("twisted").splitlines()


def test_standard_logging(caplog: pytest.LogCaptureFixture) -> None:
    """A message is a record of the logger broker.app, and an error one with its exception."""
    caplog.set_level(logging.INFO, "broker")
    log.msg("hello", 5)
    log.err(ValueError("bad"), "why it came")
    log.msg("quiet", logLevel=logging.DEBUG)
    log.err("no exception")
    records = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
    assert records == [
        ("broker.app", "INFO", "hello 5"),
        ("broker.app", "ERROR", "why it came"),
        ("broker.app", "ERROR", "'no exception'"),
    ]
    assert caplog.records[1].exc_info is not None
    assert str(caplog.records[1].exc_info[1]) == "bad"


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    """Without an observer or handler there is no output."""
    log.msg("hello")
    log.err(ValueError("bad"))
    assert capfd.readouterr() == ("", "")


def test_levels(events: list[dict[str, Any]]) -> None:
    """While there is an observer, the level is INFO, unless the application has set it."""
    library = logging.getLogger("broker")
    assert library.level == logging.INFO
    log.addObserver(print)
    log.removeObserver(print)
    assert library.level == logging.INFO
    log.removeObserver(events.append)
    assert library.level == logging.NOTSET
    library.setLevel(logging.WARNING)
    try:
        log.addObserver(events.append)
        log.msg("too quiet")
        assert library.level == logging.WARNING
        log.removeObserver(events.append)
        assert library.level == logging.WARNING
    finally:
        library.setLevel(logging.NOTSET)
    assert events == []


def test_the_librarys_own(events: list[dict[str, Any]]) -> None:
    """Observers get records of the library too, its failures as Failures."""
    logger = logging.getLogger("broker.server")
    logger.info("connection from %s", "there")
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("it broke")
        logger.warning("and was expected", exc_info=True)
    first, second, third = events
    assert first["message"] == ("connection from there",)
    assert (first["system"], first["isError"]) == ("broker.server", 0)
    assert (second["isError"], second["why"]) == (1, "it broke")
    assert isinstance(second["failure"], Failure)
    text = log.textFromEventDict(second)
    assert text is not None
    assert "test_the_librarys_own" in text
    assert text.startswith("it broke\nTraceback")
    assert ("failure" in third, third["isError"]) == (False, 0)


def test_what_raised(events: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    """An exception of an observer is logged, and the others still get events."""

    def broken(event: dict[str, Any]) -> None:
        log.msg("and it speaks")
        raise ZeroDivisionError

    log.addObserver(broken)
    later: list[dict[str, Any]] = []
    log.addObserver(later.append)
    try:
        log.msg("hello")
    finally:
        log.removeObserver(broken)
        log.removeObserver(later.append)
    said = [event["message"] for event in later if not event["isError"]]
    assert said == [("and it speaks",), ("hello",)]
    assert "the observer" in caplog.text


def test_texts() -> None:
    """An event with values that cannot be shown is still logged."""

    class Mute:
        def __str__(self) -> str:
            raise ValueError

    event = {"message": (Mute(),), "isError": 0, "time": 0, "system": "-"}
    assert log.textFromEventDict(event) == "<Mute whose str() raised ValueError>"
    event = {"message": (), "format": "%(no)s", "isError": 0, "time": 0, "system": "-"}
    text = log.textFromEventDict(event)
    assert text is not None
    assert text.startswith("event with a format that does not fit it ('no')")
    assert log.textFromEventDict({"message": (), "isError": 0}) is None


def test_foreign_failure(events: list[dict[str, Any]]) -> None:
    """A Failure of Twisted is logged as an error, like ours."""
    from twisted.python.failure import Failure as TwistedFailure

    log.err(TwistedFailure(KeyError("k")), "foreign")
    (event,) = events
    assert event["failure"].check(KeyError) is KeyError


def test_callers_interrupt() -> None:
    """Ctrl-C passes through callWithLogger."""

    class Speaker:
        def logPrefix(self) -> str:
            return "x"

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.callWithLogger(Speaker(), interrupted)


def test_without_printing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With setStdout false, printed text is not redirected."""
    file, before = io.StringIO(), (sys.stdout, sys.stderr)
    observer = log.startLogging(file, setStdout=False)
    try:
        assert (sys.stdout, sys.stderr) == before
        log.msg("x")
    finally:
        log.removeObserver(observer.emit)
    assert re.fullmatch(r"\S+ \S+ \[-\] Log opened\.\n\S+ \S+ \[-\] x\n", file.getvalue())
