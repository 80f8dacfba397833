"""Attacks from a review on clients and on the command line, by a hostile server."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks.attacker import Speaker
from attacks.catalogue import PRIME, shared
from attacks.comparison.duel import Arena, End, Outcome, Side
from attacks.comparison.peers_raw import FakeServer
from attacks.comparison.processes import PATIENCE, Program
from attacks.comparison.review_rounds import FORGED, copies, decimals, forged
from attacks.comparison.rounds import Round

__all__ = ["CLIENT_ROUNDS", "fight_client", "fight_command", "outcome_of"]

MB = 1_000_000
OWN = 5
"""The number of an object of the attacker."""


class Lure:
    """An attack on a client.

    Args:
        reply: ``reply(server, call)`` returns the bytes that answer a call.
        judge: returns how it ended for the attacker; default: how it ended for the client.
    """

    def __init__(
        self,
        reply: Callable[[FakeServer, Any], bytes],
        judge: Callable[[Arena, str], End] | None = None,
        harmless: Lure | None = None,
    ):
        self.reply = reply
        self.judge = judge or (lambda arena, end: End(end))
        self.harmless = harmless


def fight_client(side: Side, lure: Lure) -> Outcome:
    """Attack a fresh client, and return the outcome."""
    if isinstance(lure.reply, Answering):
        lure.reply.packed(side.dialect, 1)
    with (
        Program("ours_target", "strict", "root") as other,
        FakeServer(side.dialect, lure.reply) as fake,
        Program("ours_client", side.policy, side.dialect, str(other.ports["root"])) as client,
    ):
        return outcome_of(client, [f"pb://127.0.0.1:{fake.port}", None], side, lure.judge)


def outcome_of(
    client: Program,
    where: list[str | None],
    side: Side,
    judge: Callable[[Arena, str], End] = lambda arena, end: End(end),
) -> Outcome:
    """Let a client connect to an address through a proxy, if one is given; return the outcome."""
    client.mark()
    memory = client.memory()
    client.write(where)
    cpu, stall, end, survived = client.read()
    text, fault = judge(Arena(side, client), end)
    return Outcome(
        cpu=round(cpu, 2),
        memory=max(0, client.memory("VmHWM") - memory),
        log=client.log_size,
        stall=round(stall, 4),
        end=text,
        fault=fault,
        survived=survived,
    )


def fight_command(side: Side, lure: Lure) -> Outcome:
    """Let ``pb call`` call a hostile server; its printed output counts as its log."""
    with (
        FakeServer(side.dialect, lure.reply) as fake,
        tempfile.TemporaryFile() as printed,
    ):
        began = time.monotonic()
        command = [sys.executable, "-m", "broker", "call", f"pb://127.0.0.1:{fake.port}", "fetch"]
        process = subprocess.Popen(
            [*command, "--timeout", "5"], stdout=printed, stderr=subprocess.STDOUT
        )
        while time.monotonic() < began + 3 * PATIENCE:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.01)
        else:
            process.kill()
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - began
        size = printed.seek(0, os.SEEK_END)
        printed.seek(0)
        fault = forged(printed.read(MB).decode("utf-8", "replace")).fault
        if took > 6.5:
            fault = f"{took:.1f} s under a timeout of 5 s"
        return Outcome(
            cpu=round(usage.ru_utime + usage.ru_stime, 2),
            memory=usage.ru_maxrss * 1024,
            log=size,
            stall=None,
            end=f"status {process.returncode} after {took:.1f} s",
            fault=fault,
            survived=pid != 0,
        )


class Answering:
    """Answers a call with an expression, which is made before the call is received."""

    def __init__(self, expression: Callable[[Speaker], Any]):
        self._expression = expression
        self.packed = functools.lru_cache(1)(self._packed)

    def __call__(self, server: FakeServer, call: Any) -> bytes:
        """Return the bytes."""
        return self.packed(server.speaker.name, call.request_id)

    def _packed(self, dialect: str, number: int) -> bytes:
        speaker = Speaker(dialect)
        return speaker.message(b"answer", number, self._expression(speaker))


def answered_strings(size: int) -> Lure:
    """The harmless twin: an answer of this many bytes."""
    return Lure(Answering(lambda speaker: [b"list", *[bytes(100_000)] * (size // 100_000)]))


def large_references(speaker: Speaker) -> Any:
    """Shared lists under numbers of one hash."""
    return [b"list", *([b"reference", k * PRIME, [b"list"]] for k in range(1, 15_001))]


def with_goodbye(server: FakeServer, call: Any) -> bytes:
    """Answer, and send a goodbye with text that looks like log lines."""
    server.hangs_up = True
    message = server.speaker.message
    goodbyes = (message(b"goodbye", code + FORGED, FORGED) for code in ("", "expired", "draining"))
    return message(b"answer", call.request_id, 1) + b"".join(goodbyes)


def with_error(server: FakeServer, call: Any) -> bytes:
    """Fail the call with a text, and a class name, that look like log lines."""
    text = [b"unicode", FORGED.encode() + b"x" * 500_000]
    fields = [(b"value", text), (b"type", text), (b"parents", [b"list"]), (b"traceback", text)]
    state = [b"dictionary", *([[b"unicode", name], value] for name, value in fields)]
    failure = [b"twisted.spread.pb.CopyableFailure", state]
    return server.speaker.message(b"error", call.request_id, failure)


def with_backlog(server: FakeServer, call: Any) -> bytes:
    """Send 12 MB of small messages after an answer, and disconnect."""
    server.hangs_up = True
    done = server.speaker.message(b"answer", call.request_id, 1)
    return done + server.speaker.harmless * 2_100_000


def feed(folder: Path) -> Lure:
    """A published object that tries to choose the client's file."""
    told = [b"unicode", str(folder).encode()]
    names = (b"publishedID", b"perspective", b"service", b"timestamp")
    fields = [(b"remote", [b"remote", OWN]), *((name, 1) for name in names)]
    more = [(b"directory", told), (b"callWhenActivated", 1), (b"price", 7)]

    def state(pairs: Any) -> Any:
        return [b"dictionary", *([[b"unicode", name], value] for name, value in pairs)]

    def reply(server: FakeServer, call: Any) -> bytes:
        value: Any = [b"demo.Feed", 1, state(fields)]
        if call.object_id == OWN:
            value = state(more)
        elif call.name != "fetch":
            value = [b"None"]
        return server.speaker.message(b"answer", call.request_id, value)

    def judge(arena: Arena, end: str) -> End:
        files = list(folder.iterdir())
        for file in files:
            file.unlink()
        text = "writes where the server says" if files else f"{end}, nothing is written"
        return End(text, "a server chooses a directory" if files else "")

    return Lure(reply, judge)


_FOLDER = tempfile.TemporaryDirectory(prefix="duel-")

CLIENT_ROUNDS = [
    Round("S1", "an answer with 15,000 shared lists under numbers of one hash",
          Lure(Answering(large_references), harmless=answered_strings(300_000)), kind="client"),
    Round("S2", "12 MB of small messages behind an answer, then gone", Lure(with_backlog),
          kind="client"),
    Round("S3", "an answer with a part shared 44 levels deep",
          Lure(Answering(lambda speaker: shared(44, b"list"))), kind="client", log=8_000),
    Round("S4", "a published object that names a directory", feed(Path(_FOLDER.name)),
          kind="client"),
    Round("S8", "a goodbye with lines and colours for the log",
          Lure(with_goodbye, lambda arena, end: forged(arena.log_text())), ("msgpack/1",),
          kind="client"),
    Round("S8", "an error with lines and colours for the log",
          Lure(with_error, lambda arena, end: forged(arena.log_text())), kind="client", log=8_000),
    Round("S11", "an answer with 14.8 MB of decimals",
          Lure(Answering(decimals), harmless=answered_strings(14_800_000)), kind="client",
          memory=148 * MB),
    Round("S11", "an answer with 4.3 MB of copies",
          Lure(Answering(copies), harmless=answered_strings(4_300_000)), kind="client",
          memory=55 * MB, goal=43 * MB),
    Round("S16", "`pb call`, answered with a part shared 22 levels deep",
          Lure(Answering(lambda speaker: shared(22, b"list"))), kind="command", log=MB),
    Round("S16", "`pb call`, answered with an error of lines and colours",
          Lure(with_error), kind="command", log=MB // 10),
    Round("S16", "`pb call`, answered with lines and colours",
          Lure(Answering(lambda speaker: [b"unicode", FORGED.encode()])), kind="command"),
]  # fmt: skip
