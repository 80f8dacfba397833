"""The files of examples/deploy for containers: their commands, run as a container runs them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[3] / "examples" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = (DEPLOY / "compose.yaml").read_text()


def of_dockerfile() -> list[str]:
    """The health check of the Dockerfile."""
    (found,) = re.findall(r"HEALTHCHECK [^\n]*\\\n\s+CMD (\[.*\])", DOCKERFILE)
    return list(json.loads(found))


def of_compose() -> list[str]:
    """The health check of compose.yaml."""
    (found,) = re.findall(r"test: (\[.*\])", COMPOSE)
    kind, *command = json.loads(found)
    assert kind == "CMD"
    return command


def seconds(text: str, name: str) -> float:
    """A time that a file gives for a name."""
    (found,) = re.findall(rf"{name}[=:] ?(\d+)s", text)
    return float(found)


@pytest.fixture
def container(
    tmp_path: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, str]:
    """Start the command of the Dockerfile in a folder with its files; return it and its port."""
    for name in re.findall(r"^COPY (?!--from)(.*) \./$", DOCKERFILE, re.MULTILINE)[0].split():
        shutil.copy(DEPLOY / name, tmp_path)
    config = tmp_path / "pb.toml"
    config.write_text(config.read_text().replace("0.0.0.0:8787", "127.0.0.1:0"))
    monkeypatch.setenv("PB_CONFIG", str(config))
    (command,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(command)
    assert program == "pb"
    process = start(*arguments)
    address = process.stdout.readline().removeprefix("serving at ").strip()
    assert address, process.communicate()
    return process, address.rpartition(":")[2]


@pytest.mark.parametrize("given", [of_dockerfile, of_compose])
def test_the_health_check(container: tuple[Any, str], given: Callable[[], list[str]]) -> None:
    """It is 0 while the server answers, else not, and is done before Docker's time limit."""
    process, port = container
    program, *arguments = given()
    assert program == "pb"
    arguments = [each.replace("8787", port) for each in arguments]
    limit = seconds(DOCKERFILE if given is of_dockerfile else COMPOSE, "timeout")

    def status() -> int:
        return subprocess.run(
            [sys.executable, "-m", "broker", *arguments],
            capture_output=True, timeout=60, check=False,
        ).returncode  # fmt: skip

    assert status() == 0
    process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert status() != 0
    # pb ping has 5 s; the rest is the start of Python, which a busy machine makes longer.
    assert limit > 5.0 and time.monotonic() - begun >= 4.9
    process.send_signal(signal.SIGCONT)
    assert status() == 0
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert status() != 0


def test_the_times_fit() -> None:
    """The container has more time to stop than running calls have, and stops by SIGTERM."""
    (drain,) = re.findall(r"^drain = (\d+)$", (DEPLOY / "pb.toml").read_text(), re.MULTILINE)
    assert seconds(COMPOSE, "stop_grace_period") >= float(drain) + 10
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    assert re.search(r"^USER (?!root)\w+$", DOCKERFILE, re.MULTILINE)
