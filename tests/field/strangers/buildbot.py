"""Buildbot: a master and a worker that build, over Perspective Broker.

``buildbot sendchange`` logs in and tells the master of a change. The worker makes a file of 300,000
bytes, uploads it in pieces of 4,096, and downloads it again.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from strangers.environments import Environment
from strangers.moving import PB_ALONE, PB_AND_DEFER, move_file
from strangers.processes import HOST, Failed, Program, free_ports, run
from strangers.rows import Row

__all__ = ["Buildbot"]

VERSION = "4.3.0"
PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
SIZE = 300_000
SEED = 14
"""Of the random bytes in the file."""

MANAGER = ("buildbot/worker/protocols/manager/pb.py",)
MASTER = (*MANAGER, "buildbot/worker/protocols/pb.py", "buildbot/process/remotecommand.py")
WORKER = ("buildbot_worker/pb.py", "buildbot_worker/pbutil.py", "buildbot_worker/base.py")

PAIRINGS: dict[str, tuple[tuple[str, ...], Collection[str]]] = {
    "both Twisted": ((), ()),
    "master's PB manager moved": (MANAGER, PB_ALONE),
    "master's PB manager moved, with defer": (MANAGER, PB_AND_DEFER),
    "master's PB moved": (MASTER, PB_ALONE),
    "master's PB moved, with defer": (MASTER, PB_AND_DEFER),
    "worker's PB moved": (WORKER, PB_ALONE),
    "worker's PB moved, with defer": (WORKER, PB_AND_DEFER),
    "both's PB moved": (MASTER + WORKER, PB_ALONE),
    "both's PB moved, with defer": (MASTER + WORKER, PB_AND_DEFER),
}
"""Which files of the two packages are moved, and which modules in them."""


class Buildbot:
    """The builds, one for each pairing."""

    name = "Buildbot"
    requirements = (f"buildbot=={VERSION}", f"buildbot-worker=={VERSION}")
    distributions = ("buildbot", "buildbot-worker", "Twisted")

    def __init__(self, environment: Environment, folder: Path) -> None:
        self._environment = environment

    def rows(self) -> Iterator[Row]:
        """Run a build in each pairing."""
        for pairing, (files, modules) in PAIRINGS.items():
            row = Row("Buildbot, an upload", pairing)
            with row.shown(), TemporaryDirectory() as folder, ExitStack() as programs:
                site = _overlay(self._environment, Path(folder), files, modules)
                row.tell(_build(self._environment, Path(folder), site, programs))
            yield row


def _overlay(
    environment: Environment, folder: Path, files: Collection[str], modules: Collection[str]
) -> Path:
    """Return a folder with copies of the two packages in which those files are moved."""
    site = folder / "site"
    site.mkdir()
    for package in ("buildbot", "buildbot_worker"):
        shutil.copytree(
            environment.installed(package),
            site / package,
            ignore=shutil.ignore_patterns("__pycache__", "test"),
        )
    for file in files:
        if not move_file(site / file, modules):
            raise Failed(f"{file} imports nothing that could be moved")
    return site


def _build(environment: Environment, folder: Path, site: Path, programs: ExitStack) -> str:
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
        shutil.copy(PROGRAMS / f"buildbot_{name}.tac", folder / name / "buildbot.tac")
    shutil.copy(PROGRAMS / "master.cfg", folder / "master")
    buildbot = environment.script("buildbot")
    run("upgrade-master", [*buildbot, "upgrade-master", "."], folder / "master", variables)
    twistd = [
        *environment.script("twistd"),
        "--nodaemon",
        "--pidfile=",
        "--no_save",
        "--python=buildbot.tac",
    ]
    master = programs.enter_context(Program("the master", twistd, folder / "master", variables))
    master.expect("BuildMaster is running")
    worker = programs.enter_context(Program("the worker", twistd, folder / "worker", variables))
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
