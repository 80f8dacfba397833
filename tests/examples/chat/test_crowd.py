"""Crowds by all front ends, with one client that reads nothing; `make crowd` measures them."""

import pytest
from chat_crowd.clients import DOORS
from chat_crowd.one_loop import work_of
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


@pytest.mark.timeout(300)
async def test_no_client_waits(tmp_path):
    """With 500 clients, the last one has a text within 100 ms of work of server and clients.

    In processor time: so it does not matter how busy the machine is.
    """
    work = await work_of(tmp_path, clients=500, rounds=20)
    assert work.faults == []
    assert work.heard == 21 * 499
    assert max(work.seconds) < 0.1
