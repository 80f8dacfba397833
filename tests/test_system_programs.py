"""What `make system` needs is found, or named in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from project import system_programs


def test_missing() -> None:
    """The packages of the programs that are not there are named, in their order."""
    packages = {"sh": "dash", "no-such-program": "first", "nor-this": "second"}
    assert system_programs.missing(packages) == ["first", "second"]


def test_missing_libraries() -> None:
    """The packages of the libraries that are not there are named, in their order."""
    libraries = {"here": "one", "gone": "two", "lost": "three"}
    found = system_programs.missing_libraries(libraries, {"here": "libhere.so.1"}.get)
    assert found[:2] == ["two", "three"]


def test_what_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root gets one line with the names of the packages, and no attempt."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(subprocess, "run", None)
    monkeypatch.setattr(system_programs, "missing", lambda: ["chromium", "iproute2"])
    monkeypatch.setattr(system_programs, "missing_libraries", lambda: ["libegl1"])
    text = "make system needs these packages of Debian: chromium iproute2 libegl1"
    assert system_programs.main() == text


def test_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root installs what is missing, with the fonts that Chromium needs, and nothing else."""
    commands: list[list[str]] = []
    answers = [["chromium"], []]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(system_programs, "missing", lambda: answers.pop(0))
    monkeypatch.setattr(system_programs, "missing_libraries", list)
    monkeypatch.setattr(subprocess, "run", lambda command, **options: commands.append(command))
    assert system_programs.main() is None
    assert commands[0] == ["apt-get", "update", "-qq"]
    assert commands[1][-2:] == ["chromium", "fonts-dejavu-core"]


def test_each_program_is_used() -> None:
    """Each program in the list is started by a test of the system."""
    texts = [path.read_text("utf-8") for path in (Path(__file__).parent / "system").glob("*.py")]
    for program in system_programs.PACKAGES:
        assert any(f'"{program}"' in text for text in texts), program
