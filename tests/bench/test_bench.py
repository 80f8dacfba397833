"""The bench itself: every side runs, and what is measured is told as it is."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bench import (
    chart,
    page,
    profile_sides,
    tables,
)
from bench import run as bench
from bench.contract import Bench, Effort
from bench.ours_side import Client, OurSide
from bench.pairings import PAIRINGS, options_for
from bench.processes import sides
from bench.side import Options
from bench.targets import PB_DIALECT, STREAMS, TARGETS
from bench.workloads import LOGIN, SHARED, TITLES, TLS, WORKLOADS
from bench.workloads import STREAMS as STREAM_WORKLOADS
from support import programs


def made(**figures: dict[str, list[dict[str, float]]]) -> tables.Run:
    """Return a run with these figures."""
    return {
        "date": "2026-11-20T20:40:49+00:00",
        "commit": "0123456789",
        "command": "make bench",
        "rounds": 2,
        "secs": 0.3,
        "took_s": 300.0,
        "python": "3.11.7",
        "machine": "Linux x86_64, 2 cores",
        "versions": {"Twisted": "26.10.0"},
        "start_up": [(0.3, 0.2), (0.4, 0.2), (0.5, 0.2)],
        "figures": figures,
    }


def rates(*values: float, **more: float) -> list[dict[str, float]]:
    """Return rounds with these rates."""
    return [{"rate": value, "calls": 9, **more} for value in values]


class Remembering(OurSide):
    """Knows its connections, so that they can be closed."""

    def __init__(self, options: Options):
        super().__init__(options)
        self.clients: list[Client] = []

    async def connect(self, port: int) -> Client:
        """Connect."""
        self.clients.append(await super().connect(port))
        return self.clients[-1]


def rows_of(table: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_every_library(tmp_path: Path) -> None:
    """A short run measures each library, and writes down run, page and charts."""
    libraries = ["twisted", "ours", "pyro5", "grpc", "websocket"]
    short = ["--only", "W5", "--rounds", "1", "--secs", "0.01", "--share", "0.01"]
    short += ["--pairings", ",".join(libraries), "--docs", str(tmp_path)]
    ended = subprocess.run(
        programs.command("bench.run", *short),
        env=programs.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (run,) = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert list(run["figures"]) == ["W5 200k"]
    assert list(run["figures"]["W5 200k"]) == libraries
    assert all(figures["rate"] > 0 for (figures,) in run["figures"]["W5 200k"].values())
    assert "| W5 200k " in (tmp_path / "index.md").read_text()
    for name in ("ratios.png", "pb.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


async def test_every_workload(tmp_path: Path) -> None:
    """Ours runs each workload and each way of logging in; here in one process for both ends."""
    bench.write_identities(tmp_path)

    async def run(name: str) -> dict[str, float]:
        (_, far), (_, near) = options_for(PAIRINGS["ours"], name, str(tmp_path))
        server = OurSide(far)
        port = await server.serve()
        side = Remembering(dataclasses.replace(near, server={"port": port}))
        figures = await side.workloads[name](Bench(side, port, os.getpid()), Effort(0.01, 0.01))
        for client in side.clients:
            await client.connection.close()
        await server.server.close()
        return figures

    for name in WORKLOADS:
        figures = await run(name)
        assert figures["rate"] > 0, name


def test_groups() -> None:
    """Only workloads that leave nothing behind share their processes, and they need the same."""
    grouped = bench.together(list(WORKLOADS))
    assert grouped[0] == list(SHARED)
    assert [group[0] for group in grouped[1:]] == [each for each in WORKLOADS if each not in SHARED]
    assert len({options_for(PAIRINGS["ours"], name, "folder") for name in SHARED}) == 1


def test_tables_name_workloads() -> None:
    """Targets, titles, logins and TLS are of workloads that there are."""
    assert set(TITLES) == set(WORKLOADS)
    assert {*TARGETS, *PB_DIALECT, *LOGIN, *TLS, *SHARED, *STREAM_WORKLOADS} <= set(WORKLOADS)
    compared = {goal.against for goal in STREAMS} - {None}
    assert {goal.workload for goal in STREAMS} == set(STREAM_WORKLOADS)
    assert compared <= set(PAIRINGS["twisted"].runs)
    assert all(set(pairing.runs) <= set(WORKLOADS) for pairing in PAIRINGS.values())


def test_ratio_is_of_rounds() -> None:
    """A ratio is the median of those of single rounds; a round that failed is in none."""
    run = made(W2={"twisted": [*rates(1, 2, 4), {}], "ours": rates(10, 40, 20, 99)})
    assert tables.ratio(run, "W2", "ours") == (10, 5, 20)
    assert tables.ratio(run, "W2", "pyro5") is None
    assert tables.failures(run) == ["W2, Twisted PB: failed in 1 of 4 rounds"]


def test_targets_are_judged() -> None:
    """A ratio at its target meets it, one below does not; memory and start-up may be at most so."""
    run = made(
        **{
            "W2": {"twisted": rates(1), "ours": rates(14), "ours-uvloop": rates(19.9)},
            "W7 TLS": {
                "twisted": rates(1, kib=60),
                "ours": rates(2, kib=40),
                "ours-uvloop": rates(1, kib=41),
            },
        }
    )
    found = rows_of(tables.tables(run)["targets"])
    assert [(row[0], row[3], row[6]) for row in found] == [
        ("W2", "yes", "no"),
        ("W7 TLS", "yes", "no"),
        ("W7 TLS, KiB a connection", "yes", "no"),
        ("import", "no", ""),
    ]
    assert found[-1][1] == "**2.00**"


def test_targets_of_streams_are_judged() -> None:
    """A figure of streams must be at least or at most its target; bytes must equal the pager."""
    run = made(
        **{
            "W4 paging": {"twisted": rates(50, 40)},
            "S1": {"ours": rates(500_000), "ours-uvloop": rates(499_000)},
            "S2": {"ours": rates(50, 40, mb_s=400), "ours-uvloop": rates(49, 39, mb_s=399)},
            "S3": {"ours": rates(1, to_one=0.9), "ours-uvloop": rates(1, to_one=0.89)},
            "S4": {"ours": rates(1, to_alone=3), "ours-uvloop": rates(1, to_alone=3.01)},
            "S4 ints": {"ours": rates(1, to_alone=2), "ours-uvloop": rates(1, to_alone=4)},
        }
    )
    found = rows_of(tables.tables(run)["targets"])
    assert [row[0] for row in found[:-1]] == [goal.label for goal in STREAMS]
    assert {(row[3], row[6]) for row in found[:-1]} == {("yes", "no")}
    assert found[0][1:3] == ["**500,000**", "≥ 500,000"]


def test_streams_have_a_table() -> None:
    """Streams stand above the calls of the same run, and in no other table of figures."""
    run = made(W2={"twisted": rates(9)}, S1={"ours": rates(600_000)}, S3={"ours": [{}]})
    shown = tables.tables(run)
    assert rows_of(shown["streams"]) == [
        ["S1, items/s", "", "600,000"],
        ["W2, calls/s", "9.00", ""],
    ]
    assert [row[0] for row in rows_of(shown["figures"])] == ["W2"]
    assert "S1" not in tables.history([run])
    assert not tables.tables(made(W2={"twisted": rates(9)}))["streams"]


@pytest.mark.parametrize("name", ["ours-pb", "grpc", "websocket"])
def test_streams_of_each_library(name: str) -> None:
    """Each library that has streams runs each of their workloads."""
    with sides({name: options_for(PAIRINGS[name], "S1", "")}) as running:
        for workload in STREAM_WORKLOADS:
            figures = running.measure(name, workload, Effort(0.01, 0.01))
            assert figures["rate"] > 0, workload


def test_logins_have_a_reference() -> None:
    """A way that Twisted lacks is compared with its password, one that it has with the same."""
    run = made(
        **{
            "W7 TLS": {"twisted": rates(100, kib=60), "ours": rates(300, kib=40)},
            "W7 TLS anonymous": {"ours": rates(400, kib=39)},
        }
    )
    *_, guest = rows_of(tables.tables(run)["logins"])
    assert guest == ["anonymous", "400", "39.0", "100", "60.0", "**4.00**"]
    run["figures"]["W7 TLS anonymous"]["twisted"] = rates(200, kib=59)
    *_, guest = rows_of(tables.tables(run)["logins"])
    assert guest[3:] == ["200", "59.0", "**2.00**"]


def test_page_keeps_old_runs(tmp_path: Path) -> None:
    """The page shows the last run, and the ratios of those before, whoever was measured then."""
    old: dict[str, Any] = made(W9={"twisted": rates(1), "ours": rates(7), "gone": rates(5)})
    del old["start_up"]
    new = made(W2={"twisted": rates(1), "ours": rates(14), "ours-pb": [{}]})
    (tmp_path / "runs.jsonl").write_text(f"{json.dumps(old)}\n{json.dumps(new)}\n")
    page.write(tmp_path)
    text = (tmp_path / "index.md").read_text()
    assert "W2, broker, pb dialect: failed in 1 of 1 rounds" in text
    last, _, history = text.partition("## All runs")
    assert "W9" not in last
    assert "7.00" in history


def test_chart_of_one_workload(tmp_path: Path) -> None:
    """A run of a part makes a chart of that part."""
    run = made(W2={"twisted": rates(1), "ours": rates(0.5), "to-twisted": rates(2)})
    for what in (chart.RATIOS, chart.PB):
        chart.draw(run, what, tmp_path / "chart.png")
        assert (tmp_path / "chart.png").stat().st_size > 1000


def test_a_side_that_fails_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    """A side that ends says so each time that it is asked, and the others go on."""
    described = {name: options_for(PAIRINGS[name], "W2", "") for name in ("ours", "ours-pb")}
    with sides(described) as running:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="a side ended with status 1"):
                running.measure("ours", "no such workload", Effort(0.01))
        assert running.measure("ours-pb", "W2", Effort(0.01))["rate"] > 0
    assert "KeyError" in capfd.readouterr().err


def test_profile_reads_stacks() -> None:
    """Of a stack the last function ran, all of it waited for that, and waiting is not work."""
    read = profile_sides.Profile.read(
        "main (m.py:1);work (m.py:2) 3\nmain (m.py:1) 1\nmain (m.py:1);EpollSelector.select (s:1) 9"
    )
    assert read.total == 4
    assert read.lines(2) == [
        "  75.0%    75.0%  work (m.py:2)",
        "  25.0%   100.0%  main (m.py:1)",
    ]


def test_profile_by_package() -> None:
    """A function counts for its file's folder; less than a hundredth is not told."""
    read = profile_sides.Profile.read(
        "a (broker/core/x.py:1) 60\nb (broker/y.py:1);c (broker/core/z.py:2) 20\n"
        "b (broker/y.py:1) 119\nd (typing.py:5) 1\ne (work.py) 0"
    )
    assert read.packages() == ["  59.5%  broker", "  40.0%  broker/core"]


def test_profile_sees_both_sides() -> None:
    """A workload is looked at in the server and in the client."""
    found = profile_sides.profile("ours", "W2", 1)
    assert any("chain" in frame for frame in found["client"].within)
    assert any("receive" in frame for frame in found["server"].within)


@pytest.mark.parametrize(
    ("text", "name"), [("2", "W2"), ("W5", "W5 200k"), ("1 one core", "W1 one core"), ("S1", "S1")]
)
def test_profile_names(text: str, name: str) -> None:
    """A number is enough for a workload."""
    assert profile_sides.workload_of(text) == name


def test_unknown_names() -> None:
    """Who asks for what there is not is told what there is."""
    for parse, text in ((bench.beginnings, "W99"), (bench.keys, "corba")):
        with pytest.raises(argparse.ArgumentTypeError, match="choose from"):
            parse(text)
    with pytest.raises(argparse.ArgumentTypeError, match="choose from W1"):
        profile_sides.workload_of("99")
