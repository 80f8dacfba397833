"""The measurement of the clients in Node and Python; Chromium's is in `make browsers`."""

from __future__ import annotations

import pytest
from bench import browsers


@pytest.mark.timeout(120)
async def test_figures() -> None:
    """Each client is measured over each address, and has a row of the page."""
    clients = [("Python", "pb"), ("Node", "ws")]
    found = await browsers.figures(clients, rounds=1, seconds=0.02)
    assert list(found) == clients
    for of in found.values():
        assert all(value > 0 for value in of.values())
        assert set(of) == {"W1", "W1 cpu", "W2", "W2 cpu", "large"}
    lines = browsers.page(found, 1, 0.02, "about").splitlines()
    titles, _, *rows, empty, about = lines[lines.index("") + 1 :][-6:]
    assert (empty, about) == ("", "about")
    assert [row.count("|") for row in rows] == [titles.count("|")] * 2


def test_a_client_that_does_not_tell_its_processor_time() -> None:
    """Its cells are empty."""
    (row,) = browsers.rows({("Chromium", "ws"): {"W1": 1000.0, "W2": 2000.0, "large": 0.5}})
    assert row == "| Chromium | `ws://` | 2,000 |  | 1,000 |  | 500 |"
