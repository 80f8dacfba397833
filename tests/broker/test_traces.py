"""Tracebacks for the log: as Python prints them where they are small, and bounded where not."""

from __future__ import annotations

import io
import logging
import traceback

import pytest

from broker.traces import MOST, log_error, trace_of


def caught(depth: int, text: str = "deep") -> ValueError:
    """Return an error that was raised so many calls down."""

    def descend(left: int) -> None:
        if left:
            descend(left - 1)
        raise ValueError(text)

    try:
        descend(depth)
    except ValueError as error:
        return error
    raise AssertionError


def test_as_python_prints_it() -> None:
    """An ordinary error, with its cause and a note, has the lines that Python prints."""
    try:
        try:
            {}["missing"]
        except KeyError as before:
            raise RuntimeError("no such thing") from before
    except RuntimeError as error:
        error.add_note("look elsewhere")
        trace = trace_of(error)
        printed = "".join(traceback.format_exception(error))
    lines = [line for line in printed.splitlines() if set(line) - set(" ^~")]
    assert [line for line in trace.text.splitlines() if line.strip()] == lines
    assert trace.is_whole


def test_a_cycle_of_causes_ends() -> None:
    """An error that led to itself is told once."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert trace_of(first).text.count("ValueError: ") == 2


@pytest.mark.parametrize("depth", [3, 39, 900])
def test_depth(depth: int) -> None:
    """Of many frames the innermost are told, and the text comes last."""
    trace = trace_of(caught(depth))
    assert len(trace.text.encode()) <= MOST
    assert trace.text.endswith("raise ValueError(text)\nValueError: deep")
    assert ("outer frames left out" in trace.text) == (not trace.is_whole)
    assert trace.is_whole == (depth == 3)


@pytest.mark.parametrize(
    ("text", "is_kept"), [("plain", True), ("a\nb", False), ("x" * 5000, False)]
)
def test_what_a_record_carries(text: str, is_kept: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The error itself is in the record only where its text is printable and whole."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("broker.test")
    logger.addHandler(handler)
    error = caught(1, text)
    try:
        log_error(logger, "it\nfailed", error)
    finally:
        logger.removeHandler(handler)
    (record,) = caplog.records
    assert record.getMessage() == "it\\nfailed"
    assert record.pathname == __file__
    assert (record.exc_info is not None) == is_kept
    assert record.exc_text == trace_of(error).text
    assert stream.getvalue() == f"it\\nfailed\n{record.exc_text}\n"
