"""The layers of the packages hold, and each module has its tests."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]

TESTED_ELSEWHERE = {
    "broker/core/host.py": "what a session asks of its host; each session test has one",
    "broker/core/events.py": "records without behaviour; every session test reads them",
    "broker/connection/published.py": "half of Broker: tests/broker/connection/test_broker.py",
    "broker/connection/log.py": "what the pump logs: tests/broker/connection/test_broker.py",
    "broker/flavors/paging.py": "tests/interop/test_field.py, and the recorded conversations",
    "jelly/interfaces.py": "declarations: tests/jelly/test_bases.py",
    "jelly/vocabulary.py": "a table that is recorded: tests/jelly/test_vectors.py",
}
"""Modules of the core without a test file of their own name, and where they are tested."""

MIRRORED = ["jelly", "jelly/codec", "broker/core", "broker/flavors"]
"""Folders of which each module has a test file of its name; others may be tested together."""


def test_the_contracts_hold() -> None:
    """import-linter finds no import that the contracts in pyproject.toml forbid."""
    linter = Path(sysconfig.get_path("scripts")) / "lint-imports"
    run = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def modules(folder: str) -> list[Path]:
    """The modules of a folder, as paths from the root."""
    found = (ROOT / folder).glob("*.py")
    return sorted(path.relative_to(ROOT) for path in found if path.name != "__init__.py")


def test_each_module_has_its_tests() -> None:
    """Each module has a test file of its own name, or a reason in the table above."""
    missing = [
        str(module)
        for folder in MIRRORED
        for module in modules(folder)
        if not (ROOT / "tests" / folder / f"test_{module.name}").exists()
    ]
    assert [name for name in missing if name not in TESTED_ELSEWHERE] == []


def test_the_reasons_are_needed() -> None:
    """No module in the table has gone, or has got a test file meanwhile."""
    for name in TESTED_ELSEWHERE:
        path = ROOT / name
        assert path.exists()
        assert not (ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}").exists()


def test_each_test_file_has_its_module() -> None:
    """A test file has the name of a module that exists, or one that begins with it.

    So the tests of ``cacheable`` may be in test_cacheable.py and test_cacheable_ends.py.
    """
    others = {"test_jelly.py", "test_copied_failure.py"}
    strays = [
        str(test.relative_to(ROOT))
        for folder in MIRRORED
        for test in (ROOT / "tests" / folder).glob("test_*.py")
        if test.name not in others
        and not test.name.startswith("test_vectors")
        and not any(is_named_after(test, module) for module in modules(folder))
    ]
    assert strays == []


def is_named_after(test: Path, module: Path) -> bool:
    """Tell whether a test file has the name of a module, perhaps with more words behind it."""
    return f"{test.stem}_".startswith(f"test_{module.stem}_")
