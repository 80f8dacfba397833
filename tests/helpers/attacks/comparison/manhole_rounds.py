"""Attacks on a manhole by a peer that may not use it."""

from __future__ import annotations

from attacks.attacker import Speaker
from attacks.comparison.duel import thrown
from attacks.comparison.rounds import Round

__all__ = ["MANHOLE_ROUNDS"]

MB = 1_000_000
SERVED = "manhole,root"


def lines(speaker: Speaker) -> bytes:
    """5,000 lines."""
    return b"".join(speaker.call(b"1", name=b"run", number=n) for n in range(1, 5_001))


def huge_lines(speaker: Speaker) -> bytes:
    """200 lines of 60,000 bytes."""
    source = b"[" * 60_000
    return b"".join(speaker.call(source, name=b"run", number=n) for n in range(1, 201))


def endless_output(speaker: Speaker) -> bytes:
    """A line that would print without end, and its interrupts."""
    source = b"while True: print('x' * 60_000)\n"
    return b"".join(
        speaker.call(source, name=b"run", number=2 * n)
        + speaker.call(name=b"interrupt", number=2 * n + 1)
        for n in range(1, 501)
    )


def completions(speaker: Speaker) -> bytes:
    """2,000 completions of a dotted name."""
    text = b"server.connections." * 100
    return b"".join(speaker.call(text, name=b"complete", number=n) for n in range(1, 2001))


MANHOLE_ROUNDS = [
    Round("B40", "5,000 lines to a manhole outside of TLS", thrown(lines, "manhole"),
          served=SERVED, has_twisted=False, memory=32 * MB),
    Round("B40", "200 lines of 60,000 bytes to a manhole outside of TLS",
          thrown(huge_lines, "manhole"), served=SERVED, has_twisted=False, memory=64 * MB),
    Round("B41", "500 endless outputs of a manhole outside of TLS",
          thrown(endless_output, "manhole"), served=SERVED, has_twisted=False, memory=32 * MB),
    Round("B42", "2,000 completions of a manhole outside of TLS",
          thrown(completions, "manhole"), served=SERVED, has_twisted=False, memory=32 * MB),
]  # fmt: skip
