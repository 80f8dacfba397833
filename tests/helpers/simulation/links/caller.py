"""Who makes calls: it writes down what each is made on, and how it ends."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from broker.core.calls.deadline import DEADLINE
from broker.errors import ConfigError, DeadReferenceError
from broker.failure import Failure
from broker.flavors.promise import when_settled
from simulation.endings import ending
from simulation.history import History
from simulation.links.place import BARE
from simulation.values import fingerprint

__all__ = ["Caller", "Made"]


class Made:
    """A call that was made.

    Attributes:
        number: of the call.
        name: of the method.
        promise: of its result; None if it could not be made.
        over: fires with the result, or with None after a failure; None before the end is watched.
    """

    def __init__(self, number: int, name: str, promise: Any):
        self.number = number
        self.name = name
        self.promise = promise
        self.over: asyncio.Future[Any] | None = None


class Caller:
    """One end of a connection, or a link, as the caller of methods.

    Args:
        name: for the history.
        history: is told of each call.
    """

    def __init__(self, name: str, history: History):
        self.name = name
        self.history = history

    def call(
        self,
        target: Any,
        name: str,
        *args: Any,
        line: str | None = None,
        sources: tuple[int, ...] = (),
        kind: str = "",
    ) -> Made:
        """Make a call.

        Args:
            target: a reference, a promise, or a reference of a link.
            name, args: the method and its arguments, without the number of the call.
            line: the calls of one line start in their order on each connection; None for none.
            sources: the calls whose results it is made on, or has among its arguments.
            kind: ``"linked"`` for a call that a link makes as soon as it can, ``"once"`` for one
                that it may repeat with a key, else ``""``.
        """
        if kind == "linked" and DEADLINE.get() is not None:
            # It may wait in vain for a connection.
            kind = ""
        number = self.history.invoke(self.name, name)
        self.history.record("about", self.name, number, (line, sources, kind))
        try:
            return Made(number, name, target.callRemote(name, number, *args))
        except (DeadReferenceError, ConfigError) as error:
            made = Made(number, name, None)
            self._outcome(number, "not run", type(error).__name__)
            made.over = _fired(None)
            return made

    def send(
        self,
        target: Any,
        name: str,
        *args: Any,
        line: str | None = None,
        sources: tuple[int, ...] = (),
    ) -> None:
        """Make a call one way."""
        number = self.history.invoke(self.name, name, one_way=True)
        self.history.record("about", self.name, number, (line, sources, ""))
        target.callRemote(name, number, *args, pbanswer=False)

    def watch(self, made: Made) -> asyncio.Future[Any]:
        """Write down how a call ends; return what fires with its result, or with None.

        It adds callbacks, so a call on the promise waits from now on until they have run.
        """
        if made.over is None:
            made.over = asyncio.get_running_loop().create_future()
            made.promise.addCallbacks(
                self._answered, self._failed, callbackArgs=(made,), errbackArgs=(made,)
            )
        return made.over

    def await_it(self, made: Made) -> None:
        """Write down how a call ends, as who awaits it: its promise gets no callbacks."""
        if made.over is None:
            made.over = asyncio.get_running_loop().create_future()
            when_settled(made.promise, partial(self._settled, made))

    def wrong(self, text: str) -> None:
        """Write down what must not be."""
        self.history.record("wrong", self.name, detail=text)

    def _settled(self, made: Made, result: Any) -> None:
        if isinstance(result, Failure):
            self._failed(result, made)
        else:
            self._answered(result, made)

    def _answered(self, answer: Any, made: Made) -> Any:
        value = answer
        if made.name not in BARE:
            if not isinstance(answer, tuple) or answer[0] != made.number:
                self.wrong(f"call {made.number} was given the answer {answer!r:.100}")
            value = answer[1]
        self._outcome(made.number, "answer", fingerprint(value))
        assert made.over is not None
        made.over.set_result(value)
        return answer

    def _failed(self, failure: Any, made: Made) -> None:
        self._outcome(made.number, *ending(failure))
        assert made.over is not None
        made.over.set_result(None)

    def _outcome(self, number: int, kind: str, what: str) -> None:
        self.history.record("outcome", self.name, number, (kind, what))


def _fired(result: Any) -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
