"""A real NATS server for the tests, which they can kill and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["NatsServer"]


class NatsServer:
    """A server on a free port of the loopback, with JetStream in a folder.

    Attributes:
        url: its address.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The id of its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, with what its folder has, and wait until it accepts connections."""
        self._process = subprocess.Popen(
            [_program(), "-a", "127.0.0.1", "-p", str(self._port), "-js", "-sd", self._folder],
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, without a chance to write or to say anything."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def _program() -> str:
    beside = os.path.join(os.path.dirname(os.path.realpath(sys.executable)), "nats-server")
    found = shutil.which("nats-server", path=os.pathsep.join([*_scripts(), os.environ["PATH"]]))
    return found or beside


def _scripts() -> list[str]:
    import nats

    # The scripts of the environment that has the client: three folders above its package.
    packages = Path(nats.__file__).parents[1]
    return [str(packages.parents[2] / "bin"), str(Path(sys.prefix) / "bin")]
