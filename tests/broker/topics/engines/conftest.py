"""The engines with their servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.topics_worlds import WORLDS, World, running_world


@pytest.fixture(scope="module", params=WORLDS)
def shared_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Each engine, whose server runs for all tests of this file."""
    with running_world(request.param, tmp_path_factory.mktemp("server")) as world:
        yield world


@pytest.fixture
def world(shared_world: World) -> World:
    """The engine, without messages and names."""
    shared_world.renew()
    return shared_world
