"""What has a module of its own is written there, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WRITTEN_ONCE: dict[str, dict[str, str]] = {
    r"\bThread\(": {"broker/background.py": "threads for one function each"},
    r"\bto_thread\(|\brun_in_executor\(|\bThreadPoolExecutor[()]": {
        "broker/reactor/engine/thread_pool.py": "the published pool, which keeps its threads",
        "broker/reactor/engine/loop_threads.py": "waits for the end of that pool, and of others",
        "broker/reactor/adbapi/pool.py": "closes a pool while the loop runs",
        "broker/connection/log.py": "a text that advises it",
        "broker/files.py": "reads and writes of files, in the threads of the loop",
    },
    r"\bnormalvariate\b|\bfactor \*\*|\* (self\.)?factor\b": {
        "broker/backoff.py": "delays between attempts",
    },
    r"environ.*BROKER_PURE": {
        "broker/native.py": "the module in C; `import cred` needs it, and loads no jelly",
        "jelly/acceleration.py": "jelly's compiled modules; jelly imports no broker",
    },
    r"\bnever awaited, so there is\b": {"broker/opening.py": "what is awaited or used in a block"},
    r"\bregister_errors\(": {
        "broker/flavors/failures.py": "defines it; errors of calls",
        "broker/login/errors.py": "errors of logins",
    },
    r"frozenset\(\{[^}]*\bint\b": {
        "jelly/leaves.py": "types whose values hold no other value",
        "broker/defer/foreign.py": "what is no Deferred: containers, too, and it imports no jelly",
    },
    r"\bst_[mc]time(_ns)?\b": {
        "broker/file_stamp.py": "whether a file has changed",
        "broker/folders/open_files.py": "tells a peer when a file was changed",
    },
}
"""Patterns of source text, and the modules that have it, each with what for."""


@pytest.mark.parametrize("pattern", WRITTEN_ONCE)
def test_it_is_in_its_module_only(pattern: str) -> None:
    """The modules with such text are those of the table."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("broker", "cred", "jelly")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(pattern, path.read_text())
    }
    assert found == set(WRITTEN_ONCE[pattern])
