"""Runs a small program with this library or with Twisted."""

from __future__ import annotations

import subprocess
import sys
import textwrap

__all__ = ["HEAD", "printed"]

HEAD = {
    "ours": """
        from broker import defer, pb, reactor
        from broker.reactor import base, error, interfaces, log, main, protocol, strports
        from broker.reactor.engine import unix
        from broker.reactor.process import Process
        from cred import credentials, portal
        from jelly import banana
        import jelly
    """,
    "twisted": """
        from twisted.application import strports
        from twisted.cred import credentials, portal
        from twisted.internet import base, defer, error, interfaces, main, protocol, reactor, unix
        from twisted.internet.process import Process
        from twisted.python import log
        from twisted.spread import banana, jelly, pb
    """,
}


def printed(program: str, library: str, before: str = "") -> str:
    """The output of a program; ``before`` runs before any import of the reactor."""
    text = textwrap.dedent(before) + textwrap.dedent(HEAD[library]) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
