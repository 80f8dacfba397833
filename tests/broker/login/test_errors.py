"""The errors of a login: both ends let them cross, and none is left out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from broker.login.errors import LOGIN_ERRORS
from cred import error


def test_none_is_left_out() -> None:
    """All exceptions of `cred.error` are of them."""
    exceptions = {
        each
        for each in vars(error).values()
        if isinstance(each, type) and issubclass(each, BaseException)
    }
    assert set(LOGIN_ERRORS) == exceptions
    assert len(LOGIN_ERRORS) == len(exceptions)


@pytest.mark.parametrize("module", ["broker.client", "broker.server", "broker.pb"])
def test_each_end_lets_them_cross(module: str) -> None:
    """A program that has only this end knows them by their names on the wire."""
    program = (
        f"import {module}\n"
        "from jelly.registry import defaults\n"
        "from broker.failure import qual\n"
        "from cred import error\n"
        "for name in error.__all__:\n"
        "    each = getattr(error, name)\n"
        "    if isinstance(each, type):\n"
        "        assert defaults.declared.errors[qual(each)] is each, name\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
