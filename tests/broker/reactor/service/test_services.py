"""The rights that an Application drops."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from broker.reactor.service import Process

SHED = """
import os, sys
from broker.reactor.service import Process
Process(*map(eval, sys.argv[1:])).shed()
print(os.getresuid(), os.getresgid(), os.getgroups())
"""
# The user "nobody", and a user that no system lists.
NOBODY, UNKNOWN = 65534, 54321


def shed(uid: int | None, gid: int | None) -> subprocess.CompletedProcess[str]:
    """Drop the rights of a process."""
    return subprocess.run(
        [sys.executable, "-c", SHED, str(uid), str(gid)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_own_rights() -> None:
    """Dropping no rights, or to the own user, works for every user."""
    Process().shed()
    Process(os.geteuid(), os.getegid()).shed()
    assert repr(Process(1, 2)) == "<Process uid=1 gid=2>"


@pytest.mark.parametrize(
    ("uid", "gid", "expected"),
    [
        (UNKNOWN, UNKNOWN, f"({UNKNOWN},) * 3, ({UNKNOWN},) * 3, [{UNKNOWN}]"),
        (None, NOBODY, f"(0, 0, 0), ({NOBODY},) * 3, [{NOBODY}]"),
        (NOBODY, NOBODY, f"({NOBODY},) * 3, ({NOBODY},) * 3, [{NOBODY}]"),
    ],
)
def test_other_rights(uid: int | None, gid: int | None, expected: str) -> None:
    """Root becomes the given user, without supplementary groups; other users cannot."""
    done = shed(uid, gid)
    if os.geteuid() == 0:
        assert done.stderr == ""
        assert eval(done.stdout.strip().replace(") (", "), (").replace(") [", "), [")) == eval(
            expected
        )
    else:
        assert "PermissionError" in done.stderr
