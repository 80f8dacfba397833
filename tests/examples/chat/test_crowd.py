"""A small crowd by all front ends, with one client that reads nothing; `make crowd` has 500."""

import pytest
from chat_crowd.clients import DOORS
from chat_crowd.run import crowd


@pytest.mark.timeout(120)
@pytest.mark.parametrize("rooms", [1, 3])
def test_everybody_hears_everything(rooms):
    """Each text comes to each client in its room, and those of one speaker come in their order."""
    result = crowd(36, rate=40, seconds=2, rooms=rooms)
    assert result.faults == []
    assert set(result.waits) == set(DOORS)
    assert result.said == 80
    heard = sum(map(len, result.waits.values()))
    # In one room, each is heard by all others.
    assert heard == 80 * 35 if rooms == 1 else 80 * 5 < heard < 80 * 35
