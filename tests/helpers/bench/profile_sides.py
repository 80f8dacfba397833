"""Show where the time of a workload goes, in the server and in the client.

``make profile W=2`` runs this, for broker and for Twisted; ``make profile W=3
ARGS="--pairings ours-pb --lines 40"`` for others. py-spy looks at both processes while they work,
200 times a second, so that what is measured is not slowed as it is by a tracing profiler. First
come the packages, with the share of samples in which a function of theirs was running (C is its
caller's: a socket's is asyncio's). Then a line for each function has the share in which it was
running, and in which it or what it called was. It must be allowed to look: where the system forbids
that (ptrace), as root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contract import Effort
from bench.identities import write_identities
from bench.pairings import PAIRINGS, options_for
from bench.processes import sides
from bench.workloads import TITLES, WORKLOADS

PER_SECOND = 200
WAITING = ("EpollSelector.select (", "_WorkItem.run (")
"""Where a process waits for its sockets or its orders, which py-spy takes for work at times."""


@dataclass(frozen=True)
class Profile:
    """The samples of one process.

    Attributes:
        total: how many there are, in all threads that ran.
        own: by function, in how many it was what ran.
        within: by function, in how many it ran or was waiting for what it had called.
    """

    total: int
    own: Counter[str]
    within: Counter[str]

    @classmethod
    def read(cls, text: str) -> Profile:
        """Read collapsed stacks: a line has functions by ``;``, a space, and a count.

        What only waits is left out.
        """
        total, own, within = 0, Counter[str](), Counter[str]()
        for line in text.splitlines():
            stack, _, count = line.rpartition(" ")
            frames = stack.split(";")
            if frames[-1].startswith(WAITING):
                continue
            total += int(count)
            own[frames[-1]] += int(count)
            for frame in set(frames):
                within[frame] += int(count)
        return cls(total, own, within)

    def packages(self) -> list[str]:
        """Return a line for each package that ran in a hundredth of the samples or more."""
        counts = Counter[str]()
        for frame, count in self.own.items():
            path = frame.rpartition(" (")[2].partition(":")[0].rstrip(")")
            counts[path.rpartition("/")[0] or "others"] += count
        return [
            f"{count / self.total:7.1%}  {package}"
            for package, count in counts.most_common()
            if count * 100 >= self.total
        ]

    def lines(self, most: int) -> list[str]:
        """Return a line for each of the functions that ran most."""
        return [
            f"{count / self.total:7.1%} {self.within[frame] / self.total:8.1%}  {frame}"
            for frame, count in self.own.most_common(most)
        ]


def watch(process: int, seconds: float, path: Path) -> subprocess.Popen[str]:
    """Begin to look at a process; collapsed stacks are in the file when the watcher ends."""
    options = ["--pid", str(process), "--duration", str(max(1, round(seconds)))]
    options += ["--rate", str(PER_SECOND), "--format", "raw", "--function", "--output", str(path)]
    spy = Path(sys.executable).with_name("py-spy")
    return subprocess.Popen(
        [str(spy), "record", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def profile(pairing: str, workload: str, seconds: float) -> dict[str, Profile]:
    """Return the profiles of ``server`` and ``client``.

    Raises:
        RuntimeError: a side has failed, or may not be looked at.
    """
    with TemporaryDirectory(prefix="profile-") as folder:
        write_identities(Path(folder))
        described = {pairing: options_for(PAIRINGS[pairing], workload, folder)}
        with sides(described) as running:
            watchers = {
                who: (watch(pid, seconds, Path(folder, who)), Path(folder, who))
                for who, pid in zip(("server", "client"), running.pids[pairing], strict=True)
            }
            try:
                running.measure(pairing, workload, Effort(seconds))
            finally:
                said = {who: each.communicate()[0] for who, (each, _) in watchers.items()}
        for who, (watcher, _) in watchers.items():
            if watcher.returncode:
                raise RuntimeError(f"py-spy cannot look at the {who}: {said[who].strip()}")
        return {
            who: Profile.read(path.read_text(encoding="utf-8"))
            for who, (_, path) in watchers.items()
        }


def workload_of(text: str) -> str:
    """Return the workload of a number or of a name: ``2``, ``W2``, ``W4 paging``, ``S1``."""
    name = text if text.startswith(("W", "S")) else f"W{text}"
    found = [each for each in WORKLOADS if each == name or each.startswith(f"{name} ")]
    if not found:
        raise argparse.ArgumentTypeError(f"choose from {', '.join(WORKLOADS)}")
    return found[0]


def main(arguments: list[str]) -> None:
    """Print the profiles of both sides, pairing by pairing."""
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__)
    parser.add_argument("workload", type=workload_of, help="a number or a name: 2, W4 paging")
    parser.add_argument("--pairings", default="ours,twisted", help=f"of {', '.join(PAIRINGS)}")
    parser.add_argument("--secs", type=float, default=5.0, help="seconds of each")
    parser.add_argument("--lines", type=int, default=25, help="functions of each side")
    options = parser.parse_args(arguments)
    for pairing in options.pairings.split(","):
        for who, found in profile(pairing, options.workload, options.secs).items():
            title = f"{options.workload}, {TITLES[options.workload]}: {PAIRINGS[pairing].label}"
            print(f"\n{title}, the {who}, {found.total} samples\n")
            print("\n".join(found.packages()))
            print("\n   own  with calls  function")
            print("\n".join(found.lines(options.lines)))


if __name__ == "__main__":
    main(sys.argv[1:])
