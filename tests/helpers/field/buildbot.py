"""Buildbot: a master and a worker that build, over Perspective Broker.

``buildbot sendchange`` logs in and tells the master of a change. The worker makes a file of 300,000
bytes, uploads it in pieces of 4,096, and downloads it again.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from field.environments import Environment
from field.moving import Extent, move
from field.processes import HOST, Failed, Program, free_ports, run
from field.rows import Row

__all__ = ["Buildbot"]

VERSION = "4.3.0"
PROGRAMS = Path(__file__).resolve().parent / "programs"
SIZE = 300_000
SEED = 14
"""Of the random bytes in the file."""

MANAGER = ("buildbot/worker/protocols/manager/pb.py",)
MASTER = (*MANAGER, "buildbot/worker/protocols/pb.py", "buildbot/process/remotecommand.py")
WORKER = ("buildbot_worker/pb.py", "buildbot_worker/pbutil.py", "buildbot_worker/base.py")
WHOLE_WORKER = ("buildbot_worker", "buildbot_worker.tac")


class Moved(NamedTuple):
    """What of the two packages is moved.

    Attributes:
        files: files of theirs, or folders.
        extent: how much of them.
        worker: what runs the worker's file.
    """

    files: tuple[str, ...] = ()
    extent: Extent = Extent.PB_ALONE
    worker: str = "twistd"


PAIRINGS = {
    "both Twisted": Moved(),
    "master's PB manager moved": Moved(MANAGER),
    "master's PB manager moved, with defer": Moved(MANAGER, Extent.WITH_DEFER),
    "master's PB moved": Moved(MASTER),
    "master's PB moved, with defer": Moved(MASTER, Extent.WITH_DEFER),
    "worker's PB moved": Moved(WORKER),
    "worker's PB moved, with defer": Moved(WORKER, Extent.WITH_DEFER),
    "worker moved whole": Moved(WHOLE_WORKER, Extent.WHOLE, "pb"),
    "both's PB moved": Moved(MASTER + WORKER),
    "both's PB moved, with defer": Moved(MASTER + WORKER, Extent.WITH_DEFER),
}
_RUNNERS = {
    "twistd": ("--nodaemon", "--pidfile=", "--no_save", "--python=buildbot.tac"),
    "pb": ("run", "buildbot.tac"),
}


class Buildbot:
    """The builds, one for each pairing."""

    name = "Buildbot"
    requirements = (f"buildbot=={VERSION}", f"buildbot-worker=={VERSION}")
    distributions = ("buildbot", "buildbot-worker", "Twisted")

    def __init__(self, environment: Environment, folder: Path) -> None:
        self._environment = environment

    def rows(self) -> Iterator[Row]:
        """Run a build in each pairing."""
        for pairing, moved in PAIRINGS.items():
            row = Row("Buildbot, an upload", pairing)
            with row.shown(), TemporaryDirectory() as folder, ExitStack() as programs:
                site = _site(self._environment, Path(folder), moved)
                row.tell(_build(self._environment, Path(folder), site, moved.worker, programs))
            yield row


def _site(environment: Environment, folder: Path, moved: Moved) -> Path:
    """Return a folder with copies of the two packages in which something is moved."""
    site = folder / "site"
    site.mkdir()
    for package in ("buildbot", "buildbot_worker"):
        source = environment.installed(package)
        shutil.copytree(source, site / package, ignore=shutil.ignore_patterns("test"))
    for path in PROGRAMS.glob("*.tac"):
        shutil.copy(path, site)
    if moved.files:
        move(environment, moved.extent, *(site / file for file in moved.files))
    return site


def _build(
    environment: Environment, folder: Path, site: Path, worker_runner: str, programs: ExitStack
) -> str:
    (port,) = free_ports(1)
    uploaded = folder / "uploaded.bin"
    variables = {
        "FIELD_PORT": str(port),
        "FIELD_SIZE": str(SIZE),
        "FIELD_SEED": str(SEED),
        "FIELD_UPLOADED": str(uploaded),
        "PYTHONPATH": str(site),
        "HOME": str(folder),
    }
    for name in ("master", "worker"):
        (folder / name).mkdir()
        shutil.copy(site / f"buildbot_{name}.tac", folder / name / "buildbot.tac")
    shutil.copy(PROGRAMS / "master.cfg", folder / "master")
    buildbot = environment.script("buildbot")
    run("upgrade-master", [*buildbot, "upgrade-master", "."], folder / "master", variables)

    def start(name: str, runner: str) -> Program:
        command = [*environment.script(runner), *_RUNNERS[runner]]
        return programs.enter_context(Program(f"the {name}", command, folder / name, variables))

    master = start("master", "twistd")
    master.expect("BuildMaster is running")
    worker = start("worker", worker_runner)
    master.expect("FIELD worker builder", 20)
    told = [
        *("--master", f"{HOST}:{port}", "--auth", "changer:hush", "--who", "someone"),
        *("--branch", "main", "--project", "field", "changed.txt"),
    ]
    run("sendchange", [*buildbot, "sendchange", *told], folder, variables)
    ended = master.expect("FIELD build")
    if "success" not in ended:
        raise Failed(ended)
    for program in (worker, master):
        if "Traceback" in program.end():
            raise program.failed("has logged an error")
    data = uploaded.read_bytes()
    if data != random.Random(SEED).randbytes(SIZE):
        raise Failed(f"the build succeeded, and uploaded {len(data):,} bytes that are not the file")
    return f"{len(data):,} bytes as made, SHA-256 `{hashlib.sha256(data).hexdigest()[:12]}…`"
