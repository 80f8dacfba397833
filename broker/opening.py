"""The base of what ``connect`` and ``serve`` return: an object that is opened by ``await``."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

__all__ = ["Opening"]

T = TypeVar("T")


class Opening(Generic[T]):
    """Opens a ``T``: ``await`` it, or use it in ``async with``, which closes the ``T`` again.

    An Opening that is never awaited causes a RuntimeWarning, as a coroutine does. A subclass sets
    `_is_awaited` to False at the end of its `__init__`: if its arguments are refused, there is no
    warning.
    """

    makes: ClassVar[str]
    """The word for a ``T`` in the warning, such as "connection"."""

    _is_awaited = True
    _opened: T | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        self._is_awaited = True
        return self._open().__await__()

    async def __aenter__(self) -> T:
        self._opened = opened = await self
        return opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._close(self._opened, error)

    def close(self) -> None:
        """Discard it: nothing is opened, and no warning says that it was never awaited."""
        self._is_awaited = True

    def __repr__(self) -> str:
        state = "" if self._is_awaited else ", not awaited"
        return f"<{type(self).__name__} {self._description()}{state}>"

    def __del__(self) -> None:
        if not self._is_awaited:
            call = self._call()
            function = call.partition("(")[0]
            warnings.warn(
                f"{call} was never awaited, so there is no {self.makes}: write"
                f" 'await {function}(…)' or 'async with {function}(…)'",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )

    async def _open(self) -> T:
        """Make what is to be opened."""
        raise NotImplementedError

    async def _close(self, opened: T, error: BaseException | None) -> None:
        """Close what was opened, at the end of ``async with``.

        Args:
            opened: what `_open` returned.
            error: what the block raised, or None.
        """
        raise NotImplementedError

    if not TYPE_CHECKING:
        # A type checker that sees this method accepts every misspelt name.
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
            raise AttributeError(
                f"await it, or use async with: {self._call()} is not a {self.makes} yet"
            )

    def _call(self) -> str:
        """Return the call that made this, as it was written."""
        raise NotImplementedError

    def _description(self) -> str:
        """Return what ``repr()`` says between the name of the class and the state."""
        raise NotImplementedError
