"""Whether the extension module in C is used."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fuzz.lane_bugs import BUGS

import broker
from broker import native
from broker.core.stats import Stats

HERE = Path(broker.__file__).parents[1]
SOURCE = Path(__file__).parents[2] / "native" / "module.c"
REMEDY = "does not belong to this version of the Python code, which runs instead"


def run(program: str, pure: str = "") -> str:
    """Run a program in another process, with ``BROKER_PURE`` set to a text; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(HERE)!r}]\n{program}"],
        env=os.environ | {"BROKER_PURE": pure},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """Put a module where Python finds it; return its name."""
    (folder / "pretended_lane.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "pretended_lane", raising=False)
    monkeypatch.delenv("BROKER_PURE", raising=False)
    return "pretended_lane"


def test_it_is_used_if_it_is_installed() -> None:
    """The module runs if it is installed, and then without a warning."""
    is_installed = find_spec("broker._lane") is not None
    assert run("from broker.native import native; print(native is not None)") == str(is_installed)


@pytest.mark.parametrize("text", ["1", "0", "no"])
def test_pure(text: str) -> None:
    """With any text in BROKER_PURE it is neither used nor loaded."""
    program = "from broker.native import native; print(native, 'broker._lane' in sys.modules)"
    assert run(program, text) == "None False"


def test_pure_with_one_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BROKER_PURE turns off also a module that fits."""
    name = install(tmp_path, monkeypatch, f"VERSION = {native.VERSION}")
    monkeypatch.setenv("BROKER_PURE", "0")
    assert native.find(name) is None
    assert name not in sys.modules


def test_what_it_loads() -> None:
    """To decide loads nothing else of this library, and neither loop, TLS nor logging."""
    loaded = set(run("import broker.native; print(*sys.modules)").split())
    ours = {name for name in loaded if name.startswith(("broker", "cred", "jelly"))}
    assert ours <= {"broker", "broker.native", "broker._lane"}
    assert {"asyncio", "ssl", "OpenSSL", "logging"}.isdisjoint(loaded)


def test_one_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with the right version is used."""
    name = install(tmp_path, monkeypatch, f"VERSION = {native.VERSION}")
    found = native.find(name)
    assert found is sys.modules[name]


def test_no_module(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the module the Python code runs, and nothing is logged."""
    monkeypatch.delenv("BROKER_PURE", raising=False)
    assert native.find("broker._not_there") is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("VERSION = -1", "version -1 in"),
        ("VERSION = None", "version None in"),
        ("", "version None in"),
        ("raise AttributeError('no name x')", "(no name x)"),
        ("import broker._not_there", "(No module named 'broker._not_there')"),
    ],
)
def test_one_of_other_sources(
    code: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A module that does not fit is not used; one warning has the reason and the remedy."""
    assert native.find(install(tmp_path, monkeypatch, code)) is None
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("broker", logging.WARNING)
    for part in (REMEDY, reason, "install perspective-broker again"):
        assert part in record.getMessage()


def test_one_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is no library, such as one cut short, is not used either."""
    (tmp_path / f"pretended_library{EXTENSION_SUFFIXES[0]}").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("BROKER_PURE", raising=False)
    assert native.find("pretended_library") is None
    (record,) = caplog.records
    assert REMEDY in record.getMessage()


@pytest.mark.parametrize("mark", ["experimental free-threading build", "free-threading build"])
def test_a_free_threaded_build(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the global interpreter lock it is not used, and this is no reason to warn."""
    name = install(tmp_path, monkeypatch, f"VERSION = {native.VERSION}")
    monkeypatch.setattr(sys, "version", f"3.14.0 {mark} (main) [GCC 14.2.0]")
    assert native.find(name) is None
    assert name not in sys.modules
    assert caplog.records == []


def test_the_version_of_the_source() -> None:
    """The C code in the repository states the version that the Python code asks for."""
    found = re.findall(r"^#define LANE_VERSION (\d+)$", SOURCE.read_text("utf-8"), re.MULTILINE)
    assert found == [str(native.VERSION)]


def test_the_planted_bugs_fit() -> None:
    """The text that each planted bug replaces stands once in the C code of today."""
    sources = {path.name: path.read_text("utf-8") for path in SOURCE.parent.glob("*.c")}
    places = {bug.name: sources[bug.file].count(bug.before) for bug in BUGS}
    assert {name: count for name, count in places.items() if count != 1} == {}


@pytest.mark.parametrize(
    ("classes", "error"),
    [
        ({"stats": 5}, "takes classes"),
        ({"stats": object}, "has no attribute"),
        ({"stats": type("Other", (), {"bytes_received": property(lambda self: 0)})}, "not a slot"),
        ({"stats": type("Other", (), {"bytes_received": 0})}, "not a slot"),
    ],
)
def test_classes_without_slots(classes: dict[str, Any], error: str) -> None:
    """A class that does not keep the attributes in slots is refused, and the others stay in use."""
    if native.native is None:
        return
    with pytest.raises((TypeError, AttributeError), match=error):
        native.native.use_classes(**classes)
    native.native.use_classes(unknown=object)
    with pytest.raises(TypeError):
        native.native.use_classes(Stats)
    native.native.use_classes(stats=Stats)
