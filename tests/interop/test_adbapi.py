"""Twisted's own tests of adbapi pass with our pool, in Twisted's reactor."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

# Our errors go to `logging`; its tests look for them in Twisted's log. Its module is read, not
# imported, since it has the name of the pool from where it looks for it.
MODULE = """
import logging
from importlib.util import find_spec
from pathlib import Path

from twisted.python import log


class ToTwisted(logging.Handler):
    def emit(self, record):
        if record.exc_info:
            log.err(record.exc_info[1], record.getMessage())


logging.getLogger("broker.reactor").addHandler(ToTwisted())
path = find_spec("twisted.test.test_adbapi").origin
text = Path(path).read_text("utf-8")
for theirs, ours in [
    ("from twisted.enterprise.adbapi import", "from broker.reactor.adbapi import"),
    ("return ConnectionPool(*args, ", "return ConnectionPool(*args, cp_reactor=reactor, "),
]:
    assert text.count(theirs) == 1
    text = text.replace(theirs, ours)
exec(compile(text, path, "exec"))
"""


def test_twisteds_tests(tmp_path: Path) -> None:
    """All pass but those for databases that are not there: Twisted's list has no psycopg 3."""
    (tmp_path / "test_moved.py").write_text(MODULE, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "twisted.trial", "test_moved"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert re.search(r"\nPASSED \(skips=\d+, successes=9\)\n$", done.stdout), done.stdout
