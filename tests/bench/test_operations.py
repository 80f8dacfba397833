"""The operations that are compared: each library does them, as often as it is asked to."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from bench.identities import write_identities
from bench.one_process import Order
from bench.operations import OPERATIONS, RECEIVERS, names
from bench.variants import Conditions, Variant, runs
from bench.workloads import TITLES
from support.folders import ROOT


@pytest.mark.parametrize(
    "variant", [Variant("new", ROOT), Variant("twisted")], ids=["ours", "twisted"]
)
def test_every_operation(variant: Variant, tmp_path: Path) -> None:
    """Each library does each operation that it has, and tells a time for each round."""
    write_identities(tmp_path)
    for name in OPERATIONS:
        if runs([variant], name):
            order = Order(variant.library, name, "time", 1, 1, rounds=2)
            taken, _ = variant.obey(order, Conditions(str(tmp_path)), 1)
            assert len(taken) == 2, name
            assert min(taken) > 0, name


@pytest.mark.parametrize(
    ("name", "function", "times"),
    [
        ("W1", "bench/answers.py:Answers.echo", 1),
        ("W2", "bench/answers.py:Answers.echo", 1),
        ("W2 async", "bench/ours_side.py:Root.remote_async_echo", 1),
        ("W6", "bench/answers.py:Listener.remote_event", 1),
        ("W7", "bench/ours_side.py:Client.__init__", 1),
        ("W7 kept", "bench/ours_side.py:Client.__init__", 1),
    ],
)
def test_an_operation_is_one(name: str, function: str, times: int) -> None:
    """The figures are for one call, one event of one receiver, or one login."""
    order = Order("ours", name, "calls", 1, 3)
    counted, _ = Variant("new", ROOT).obey(order, Conditions(""), 1)
    assert counted["python"][function] == times
    assert order.operations == 3 * (RECEIVERS if name == "W6" else 1)


def test_names() -> None:
    """A workload may be written small, or as its number; one that is unknown is refused."""
    assert names("1,w2 async, S1,7 kept") == ["W1", "W2 async", "S1", "W7 kept"]
    with pytest.raises(argparse.ArgumentTypeError, match="'W9' is unknown: choose from W1, W2"):
        names("W1,W9")
    assert {name.split()[0] for name in OPERATIONS} <= {name.split()[0] for name in TITLES}
