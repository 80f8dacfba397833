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
from bench.forms import said_of_forms
from bench.ours_side import Client, OurSide
from bench.pairings import PAIRINGS, options_for
from bench.processes import form_of, sides
from bench.side import Options
from bench.targets import (
    FORMS,
    OWN,
    PB_DIALECT,
    PB_MIXED,
    PB_PAIRINGS,
    STREAMS,
    TARGETS,
)
from bench.workloads import LOGIN, SHARED, TITLES, TLS, WORKLOADS
from bench.workloads import STREAMS as STREAM_WORKLOADS
from support import programs

from broker.acceleration import describe


def made(
    *,
    python: str = "3.11.7",
    forms: dict[str, str] | None = None,
    start_up_pure: list[tuple[float, float]] | None = None,
    **figures: dict[str, list[dict[str, float]]],
) -> tables.Run:
    """Return a run with these figures."""
    return {
        "date": "2026-11-20T20:40:49+00:00",
        "commit": "0123456789",
        "command": "make bench",
        "rounds": 2,
        "secs": 0.3,
        "took_s": 300.0,
        "python": python,
        "forms": forms or {},
        "machine": "Linux x86_64, 2 cores",
        "versions": {"Twisted": "26.10.0"},
        "start_up": [(0.3, 0.2), (0.4, 0.2), (0.5, 0.2)],
        "start_up_pure": start_up_pure or [],
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
    # Not "capnp": a process of it has once ended with a segmentation fault.
    libraries = ["twisted", "ours", "ours-pure", "pyro5", "grpc", "websocket", "bare"]
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
    assert run["forms"] == {"ours": describe(), "ours-pure": "pure Python (BROKER_PURE)"}
    assert "| W5 200k " in (tmp_path / "index.md").read_text()
    for name in ("ratios.png", "pb.png", "short.png"):
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


def test_the_loop_alone_is_a_floor() -> None:
    """A table has each form beside its loop, and in brackets the loop beside Twisted."""
    run = made(
        W2={
            "twisted": rates(10, 20),
            "ours": rates(300, 600),
            "bare": rates(150, 300),
            "bare-uvloop": rates(200, 200),
        }
    )
    (row,) = rows_of(tables.tables(run)["floors"])
    assert [cell.strip() for cell in row] == ["W2", "**2.00** (15.0)", "", ""]


def test_tables_name_workloads() -> None:
    """Targets, titles, logins and TLS are of workloads that there are."""
    assert set(TITLES) == set(WORKLOADS)
    assert {*TARGETS, *PB_DIALECT, *LOGIN, *TLS, *SHARED, *STREAM_WORKLOADS} <= set(WORKLOADS)
    goals = (*OWN, *STREAMS)
    assert {goal.workload for goal in STREAMS} == set(STREAM_WORKLOADS)
    for compared, pairing in (
        ({goal.against for goal in goals if not goal.is_own} - {None}, "twisted"),
        ({goal.against for goal in goals if goal.is_own}, "ours"),
    ):
        assert compared <= set(PAIRINGS[pairing].runs)
    for pairing in FORMS:
        assert {*TARGETS, "W1"} <= set(PAIRINGS[pairing].runs)
    for pairing in PB_PAIRINGS:
        assert set(PB_DIALECT) <= set(PAIRINGS[pairing].runs)
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
            "W2": {
                "twisted": rates(1),
                "ours": rates(35),
                "ours-uvloop": rates(34.9),
                "ours-pure": rates(13),
            },
            "W7 TLS": {
                "twisted": rates(1, kib=60),
                "ours": rates(1, kib=40),
                "ours-uvloop": rates(0.99, kib=41),
                "ours-pure": rates(1, kib=40.5),
            },
        },
        start_up_pure=[(0.3, 0.2)],
    )
    found = rows_of(tables.tables(run)["targets"])
    assert [(row[0], row[3], row[6], row[9]) for row in found] == [
        ("W2", "yes", "no", "yes"),
        ("W7 TLS", "yes", "no", "yes"),
        ("W7 TLS, KiB a connection", "yes", "no", "no"),
        ("import", "no", "", "yes"),
    ]
    assert (found[-1][1], found[-1][7]) == ("**2.00**", "**1.50**")


def test_targets_have_a_column_for_each_form() -> None:
    """Each ratio has a target for the compiled form in each loop and for pure Python.

    Pairings that do not run a workload have none.
    """
    ran = {each: rates(10) for each in FORMS}
    run = made(W2={"twisted": rates(1), **ran}, S1={"ours": rates(500_000)})
    call, items, *_ = rows_of(tables.tables(run)["targets"])
    assert (call[2], call[5], call[8]) == ("35", "35", "13")
    assert [len(goals) for goals in TARGETS.values()] == [len(FORMS)] * len(TARGETS)
    assert items[7:] == ["", "", ""]


@pytest.mark.parametrize(
    ("python", "met"),
    [
        ("3.11.9", ["from 3.12 on"] * 3),
        ("3.12.0", ["yes", "no", "yes"]),
        ("3.13.1", ["yes", "no", "yes"]),
    ],
)
def test_a_target_for_newer_pythons(python: str, met: list[str], tmp_path: Path) -> None:
    """Async methods are measured in any Python and judged from 3.12 on, in the chart too."""
    run = made(
        python=python,
        **{
            "W2 async": {
                "twisted": rates(1),
                "ours": rates(20),
                "ours-uvloop": rates(19),
                "ours-pure": rates(6),
            }
        },
    )
    row = rows_of(tables.tables(run)["targets"])[0]
    assert row[1].startswith("**20.0**")
    assert [row[3], row[6], row[9]] == met
    assert tables.is_judged(run, "W2 async") is (met[0] == "yes")
    assert tables.is_judged(run, "W2")
    chart.draw(run, chart.RATIOS, tmp_path / "chart.png")


def test_calls_are_judged_by_their_own() -> None:
    """Typed calls and items of streams are compared with W2 of the same pairing and round."""
    run = made(
        **{
            "W2": {
                "twisted": rates(1, 1),
                "ours": rates(100, 200),
                "ours-uvloop": rates(100, 100),
                "ours-pure": rates(40, 40),
            },
            "W2 typed": {
                "ours": rates(95, 190),
                "ours-uvloop": rates(94, 94),
                "ours-pure": rates(40, 40),
            },
            "S1": {"ours": rates(300, 600), "ours-uvloop": rates(299, 299)},
        }
    )
    found = {row[0]: row for row in rows_of(tables.tables(run)["targets"])}
    typed, items = found["W2 typed, to W2"], found["S1, items to calls of W2"]
    assert typed[1:4] == ["**0.95** (0.95 to 0.95)", "0.95", "yes"]
    assert (typed[6], typed[9]) == ("no", "yes")
    assert (items[3], items[6], items[9]) == ("yes", "no", "")


def test_targets_of_the_pb_dialect() -> None:
    """Both forms have targets between two of ours; with Twisted at one end there is another."""
    run = made(
        W2={
            "twisted": rates(1),
            "ours-pb": rates(8.9),
            "ours-pb-pure": rates(7.7),
            "to-twisted": rates(2.5),
            "from-twisted": rates(2.4),
        }
    )
    (row,) = rows_of(tables.tables(run)["pb_targets"])
    assert (row[2], row[5], row[8], row[11]) == ("9", "7.7", "2.5", "2.5")
    assert (row[3], row[6], row[9], row[12]) == ("no", "yes", "yes", "no")
    assert set(PB_MIXED) == set(PB_DIALECT)


COMPILED = {"ours": "accelerated", "ours-uvloop": "accelerated", "ours-pb": "accelerated"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        (
            {"ours": "pure Python (no compiled module)"},
            ["**broker ran without the module in C, so"],
        ),
        (
            {"ours": "accelerated (only jelly)", "ours-pb": "accelerated (only jelly)"},
            ["**broker, broker, pb dialect ran without the module in C, so"],
        ),
        (
            dict.fromkeys(COMPILED, "accelerated (not jelly)"),
            ["**broker, pb dialect ran with jelly as Python code, so"],
        ),
        (
            {"to-twisted": "accelerated (not jelly)"},
            ["**broker to Twisted ran with jelly as Python code, so"],
        ),
        ({"ours-pure": "accelerated"}, ["**broker, pure Python ran compiled modules, so"]),
    ],
)
def test_the_page_says_the_forms(changed: dict[str, str], said: list[str], tmp_path: Path) -> None:
    """The page names the form of each pairing, and says so if it is not that of its column."""
    forms = {**COMPILED, "ours-pure": "pure Python (BROKER_PURE)", **changed}
    run = made(forms=forms, W2={"twisted": rates(1), "ours": rates(35)})
    first, *others = said_of_forms(run)
    assert all(f"{PAIRINGS[key].label}: `{form}`" in first for key, form in forms.items())
    assert len(others) == len(said)
    assert all(found.startswith(begin) for found, begin in zip(others, said, strict=True))
    (tmp_path / "runs.jsonl").write_text(json.dumps(run) + "\n")
    page.write(tmp_path)
    text = (tmp_path / "index.md").read_text()
    assert all(f"\n{sentence}\n" in text for sentence in (first, *others))
    assert forms["ours"] in rows_of(tables.history([run]))[0]


def test_sides_say_their_form() -> None:
    """A side is in pure Python if its pairing is, and says so itself; Twisted has no forms."""
    chosen = ("twisted", "ours", "ours-pure")
    with sides({name: options_for(PAIRINGS[name], "W2", "") for name in chosen}) as running:
        assert running.forms == {
            "twisted": "",
            "ours": describe(),
            "ours-pure": "pure Python (BROKER_PURE)",
        }


def test_both_ends_have_the_form() -> None:
    """Both processes of a pairing get BROKER_PURE, or neither."""
    for name, pairing in PAIRINGS.items():
        (_, far), (_, near) = options_for(pairing, "W2", "")
        assert far.pure is near.pure is (name in ("ours-pure", "ours-pb-pure"))
    assert form_of("accelerated", "") == form_of("accelerated", "accelerated") == "accelerated"
    assert form_of("a", "b") == "server a, client b"


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
    labels = [goal.label for goal in STREAMS if not goal.is_own]
    assert [row[0] for row in found[:-1]] == labels
    assert {(row[3], row[6], row[9]) for row in found[:-1]} == {("yes", "no", "")}
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


@pytest.mark.parametrize("name", ["twisted", "ours-pb"])
def test_async_and_typed_calls(name: str) -> None:
    """Twisted has async methods too; calls through a contract work in each dialect."""
    with sides({name: options_for(PAIRINGS[name], "W2", "")}) as running:
        for workload in {"W2 async", "W2 typed"} & set(PAIRINGS[name].runs):
            assert running.measure(name, workload, Effort(0.01))["rate"] > 0, workload
    assert ("W2 typed" in PAIRINGS[name].runs) is (name == "ours-pb")


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
    for what in (chart.RATIOS, chart.PB, chart.SHORT):
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
    assert any("dataReceived" in frame for frame in found["server"].within)


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
