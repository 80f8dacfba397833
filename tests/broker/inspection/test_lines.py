"""Lines of Python in one namespace: what is complete, what they do, and what completes them."""

from __future__ import annotations

import asyncio

import pytest

from broker.inspection.lines import FAULTS, MOST_COMPLETIONS, Lines, told


class Odd:
    """Has a property that raises."""

    fine = 1

    @property
    def bad(self) -> int:
        """Raise."""
        raise OSError


async def test_run() -> None:
    """A statement changes the namespace; await may stand outside of functions."""
    lines = Lines({"asyncio": asyncio})
    for source in ("a = await asyncio.sleep(0, 5)", "def f(): return a + 1\n", "b = f()"):
        code = lines.compiled(source)
        assert code is not None
        await lines.run(code)
    assert (lines.names["a"], lines.names["b"]) == (5, 6)
    assert lines.names["__name__"] == "__console__"


@pytest.mark.parametrize("source", ["for i in f():", "(1,", "async def f():\n  pass", '"""'])
def test_more_lines(source: str) -> None:
    """An incomplete statement has no code yet."""
    assert Lines({}).compiled(source) is None


@pytest.mark.parametrize("source", ["1 +", "x\0y", "(" * 5000, "await = 1", "return 1"])
def test_faults(source: str) -> None:
    """What is not Python raises one of these errors, which is told without our own frames."""
    with pytest.raises(FAULTS) as caught:
        Lines({}).compiled(source)
    assert "broker" not in told(caught.value)


async def test_a_traceback_begins_at_the_line() -> None:
    """The frames of this module are left out."""
    lines = Lines({})
    code = lines.compiled("1/0")
    assert code is not None
    with pytest.raises(ZeroDivisionError) as caught:
        await lines.run(code)
    assert told(caught.value).splitlines()[:2] == [
        "Traceback (most recent call last):",
        '  File "<shell>", line 1, in <module>',
    ]


def test_completion() -> None:
    """A prefix of a name, or of an attribute, is completed; a property that raises has none."""
    lines = Lines({"odd": Odd(), "asyncio": asyncio})
    assert lines.complete("od") == ["odd"]
    assert lines.complete("print(asyncio.slee") == ["asyncio.sleep"]
    assert lines.complete("odd.") == ["odd.bad", "odd.fine"]
    assert "odd.__class__" in lines.complete("odd._")
    assert lines.complete("odd.fine.rea") == ["odd.fine.real"]
    for nothing in ("odd.bad.", "no_such.", "1 + ", ""):
        assert lines.complete(nothing) == []
    assert lines.complete("impo") == ["import"]
    many = Lines({f"name{number}": number for number in range(1000)})
    assert len(many.complete("name")) == MOST_COMPLETIONS
