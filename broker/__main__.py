"""The command ``pb``, which is also ``python -m broker``."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec

__all__ = ["main"]

# The place of each command, and its line of the help: a command is loaded when it is run.
_COMMANDS = {
    "call": ("broker.commands.call:call", "Call one method of a server, and print its answer."),
    "cert": ("broker.commands.cert:cert", "Make certificates: an authority, servers, clients."),
    "check-config": (
        "broker.commands.check_config:check_config",
        "Find the weak settings of a server before it runs.",
    ),
    "cp": ("broker.commands.cp:cp", "Copy a file to a server that serves a folder, or from it."),
    "demo": ("broker.demo.command:demo", "Show in ten steps what this package does."),
    "describe": (
        "broker.commands.describe:describe",
        "Print the contracts of a server's object.",
    ),
    "drain": ("broker.commands.operating:drain", "End a server after its running calls."),
    "health": ("broker.commands.operating:health", "Say whether a server can take more work."),
    "inspect": ("broker.commands.operating:inspect", "Show a server and its connections."),
    "kick": ("broker.commands.operating:kick", "End connections of a server."),
    "tap": ("broker.commands.operating:tap", "Print what happens on a connection of a server."),
    "ping": ("broker.commands.ping:ping", "Say whether a server answers, and how fast."),
    "port": (
        "broker.commands.port:port",
        "Say what of a program for Twisted moves here, and move its imports.",
    ),
    "run": ("broker.commands.run:run", "Run the application that a file makes."),
    "serve": ("broker.commands.serve:serve", "Serve an object of a module."),
    "shell": (
        "broker.commands.shell:shell",
        "Type Python with a server's objects, or inside the server.",
    ),
    "top": ("broker.commands.top:top", "Show a server and its connections, live."),
    "unit": ("broker.commands.unit:unit", "Print a unit of systemd for a server."),
    "users": ("broker.commands.users:users", "Add, change and list those who may log in."),
}

_NEEDED = ("click", "rich")

_MISSING = (
    "pb needs the package {}, which the extra 'cli' brings:"
    " python -m pip install 'perspective-broker[cli]'"
)


def main() -> None:
    """Run the command that the command line names.

    Each option can also be given by an environment variable: ``PB_CALL_USER`` is that of
    ``pb call --user``.
    """
    for package in _NEEDED:
        if find_spec(package) is None:
            sys.exit(_MISSING.format(package))
    # Not at the top: it needs click.
    group = import_module("broker.commands.group").Commands(_COMMANDS)
    try:
        group(prog_name="pb")
    finally:
        _leave_behind()


def _leave_behind() -> None:
    """End the process at once if it would wait for threads whose results are not needed."""
    waiting = sys.modules.get("broker.commands.waiting")
    ended = sys.exception()
    if waiting is None or not isinstance(ended, SystemExit) or not waiting.is_left_behind():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended.code if isinstance(ended.code, int) else 1)


if __name__ == "__main__":
    main()
