"""The pytest plugin: the fixture ``broker_pair``.

pytest loads this module in each of its runs where this library is installed. So it imports nothing
of the library before the fixture is used.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from broker.testing.connected_pair import Pair, Pairing

__all__ = ["PairMaker", "broker_pair"]


class PairMaker:
    """The fixture ``broker_pair``: makes pairs, and closes them at the end of the test."""

    def __init__(self) -> None:
        self._pairings: list[tuple[Pairing, bool]] = []

    async def __call__(self, target: object, /, *, leaks: bool = True, **options: Any) -> Pair:
        """Connect a client and a server; see `broker.testing.pair`.

        Args:
            target: a Root, a Portal, or a scripted peer.
            leaks: fail the test if it has passed and has left objects, calls or tasks at either end
                of an open connection.
            options: those of `broker.testing.pair`.
        """
        from broker.testing.connected_pair import pair

        pairing = pair(target, **options)
        self._pairings.append((pairing, leaks))
        return await pairing

    async def finish(self, *, has_passed: bool) -> None:
        """Look for leaks if the test has passed; close all pairs.

        Raises:
            AssertionError: there are leaks, or the script of a scripted peer was not followed.
        """
        pairings, self._pairings = self._pairings, []
        found: list[str] = []
        for pairing, wants_check in pairings:
            pair = pairing.made
            if has_passed and wants_check and pair.was_connected:
                pair.network.resume()
                await pair.settled()
                found += map(str, pair.leaks())
        for pairing, _ in reversed(pairings):
            await pairing.made.close()
        for pairing, _ in pairings:
            pairing.check_scripts(is_complete=has_passed)
        if found:
            raise AssertionError("\n".join(["this test leaks:", *found]))


@pytest.fixture
def broker_pair() -> PairMaker:
    """Make pairs of a client and a server, connected in memory: ``pair = await broker_pair(root)``.

    Takes the arguments of `broker.testing.pair`, and ``leaks=False``. At the end of the test the
    pairs are closed, and the test fails if it leaks. It is for ``async def`` tests: those of
    pytest-asyncio and anyio, and of no plugin, which then run in a loop of their own.
    """
    return PairMaker()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """Let an async test end its pairs in its own loop."""
    maker = _maker_of(item)
    test: Any = getattr(item, "obj", None)
    if maker is None:
        yield
        return

    @functools.wraps(test)
    async def run(*args: Any, **kw: Any) -> None:
        try:
            await test(*args, **kw)
        except BaseException:
            await maker.finish(has_passed=False)
            raise
        await maker.finish(has_passed=True)

    item.obj = run  # type: ignore[attr-defined]
    try:
        yield
    finally:
        item.obj = test  # type: ignore[attr-defined]


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that takes the fixture, if no other plugin has."""
    if _maker_of(pyfuncitem) is None:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def _maker_of(item: Any) -> PairMaker | None:
    """Return the fixture of an async test, or None."""
    maker = getattr(item, "funcargs", {}).get("broker_pair")
    is_async = inspect.iscoroutinefunction(getattr(item, "obj", None))
    return maker if is_async and isinstance(maker, PairMaker) else None
