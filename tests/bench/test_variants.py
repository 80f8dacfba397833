"""The variants that are measured: how they are written, and that their own code is what runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
from bench.one_process import Order
from bench.operations import OPERATIONS
from bench.variants import Conditions, Failure, Variant, last_line, runs, variants
from support.folders import ROOT

ONE_CALL = Order("ours", "W1", "time", 1, 1)


def checkout(folder: Path, source: str) -> str:
    """Write a checkout whose package broker is this source; return its folder."""
    (folder / "broker").mkdir()
    (folder / "broker" / "__init__.py").write_text(source)
    return str(folder)


def test_written_forms() -> None:
    """A variant has a name and a checkout; interpreter, loop and path are marks."""
    base, other, general, counted, twisted = variants(
        f"base={ROOT},new={ROOT}#/py+uvloop+pure,gen={ROOT}+general,count={ROOT}+metrics,"
        "twisted#/old"
    )
    assert counted == Variant("count+metrics", ROOT, metrics=True)
    assert counted.options(OPERATIONS["W1"], Conditions("")).metrics
    assert general == Variant("gen+general", ROOT, general=True)
    assert general.options(OPERATIONS["W1"], Conditions("")).general
    (older,) = variants(f"old={ROOT}+pb")
    assert older == Variant("old+pb", ROOT, pb=True)
    (web,) = variants(f"web={ROOT}+ws")
    assert web == Variant("web+ws", ROOT, ws=True)
    assert web.options(OPERATIONS["W1"], Conditions("")).ws
    assert base == Variant("base", ROOT)
    assert other == Variant("new+uvloop+pure", ROOT, python="/py", uvloop=True, pure=True)
    assert twisted == Variant("twisted", python="/old")
    assert (base.library, twisted.library, base.python) == ("ours", "twisted", sys.executable)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("base", "is not of the form NAME=CHECKOUT"),
        (f"={ROOT}", "is not of the form"),
        (f"new={ROOT}+fast", "is not of the form"),
        ("twisted+uvloop", "is not of the form"),
        (f"new={ROOT / 'tests'}", "there is no package broker in"),
        (f"a={ROOT},a={ROOT}", "two variants have the same name"),
    ],
)
def test_other_forms_are_refused(text: str, why: str) -> None:
    """A text of another form is refused with the form, a folder without the package by its name."""
    with pytest.raises(argparse.ArgumentTypeError, match=why):
        variants(text)


def test_conditions_of_a_variant() -> None:
    """The dialect is of this library only; a workload over TLS is so without being asked.

    A variant with the mark of a dialect speaks that one.
    """
    ours, marked, twisted = variants(f"new={ROOT},new={ROOT}+pb,twisted")
    conditions = Conditions("folder", "msgpack/1")
    assert ours.options(OPERATIONS["W1"], conditions).certificates is None
    assert ours.options(OPERATIONS["W8"], conditions).certificates == "folder"
    assert ours.options(OPERATIONS["W7"], conditions).login == "password"
    assert ours.options(OPERATIONS["W1"], conditions).dialect == "msgpack/1"
    assert marked.options(OPERATIONS["W1"], conditions).dialect == "pb"
    assert twisted.options(OPERATIONS["W1"], conditions).dialect == "pb"
    assert ours.options(OPERATIONS["W1"], Conditions("folder", tls=True)).certificates == "folder"


def test_twisted_has_no_streams() -> None:
    """A workload that a variant cannot do is not asked of it."""
    both = variants(f"new={ROOT},twisted")
    assert runs(both, "W1") == both
    assert runs(both, "S1") == both[:1]


def test_the_checkout_is_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variant's package is imported, not the current folder's; its last line names the error.

    Its process has the seed, and the variable for pure Python.
    """
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    names = "('PYTHONHASHSEED', 'BROKER_PURE')"
    source = f"import os\nraise RuntimeError(*(os.environ.get(each) for each in {names}))"
    (variant,) = variants(f"new={checkout(tmp_path, source)}+pure")
    with pytest.raises(Failure, match=r"^RuntimeError: \('7', '1'\)$"):
        variant.obey(ONE_CALL, Conditions("folder"), 7)


def test_a_variant_that_cannot_start() -> None:
    """An interpreter that is missing, or that says nothing, is a failure with a text."""
    for python, why in (("/no/such/python", "No such file"), ("/bin/false", "with status 1")):
        with pytest.raises(Failure, match=why):
            Variant("new", ROOT, python=python).obey(ONE_CALL, Conditions("folder"), 1)


def test_last_line() -> None:
    """The last line of an error is not one of valgrind's, and not empty."""
    assert last_line("Traceback:\nValueError: 7\n\n==12== \n==12== Collected : 5\n") == (
        "ValueError: 7"
    )
    assert not last_line("\n==12== Collected : 5")
