"""Unhandled: logs the failure of a Deferred when the Deferred is collected."""

from __future__ import annotations

import logging
import traceback

from broker.failure import Failure

__all__ = ["Together", "Unhandled"]

_logger = logging.getLogger("broker.defer")


class Unhandled:
    """Belongs to one Deferred, and is collected with it.

    A Deferred has one only after its chain ends in a failure (or while debugging), so that a
    successful call does not pay for a finalizer.

    Attributes:
        failure: the failure to log on collection, or None.
        label: the source of the result, such as the name of a remote method; or None.
        seen: the last failure that was noted; noting it again does not cause a second log record.
        creator, invoker: while debugging, the stacks in which the Deferred was made and fired.
    """

    __slots__ = ("creator", "failure", "invoker", "label", "seen")

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self.label: str | None = None
        self.seen: Failure | None = None
        self.creator: list[str] | None = None
        self.invoker: list[str] | None = None

    def note(self, failure: Failure, is_handled: bool) -> None:
        """Note `failure` for the log, unless an awaiter received it now or it was noted before."""
        if is_handled:
            self.failure = None
        elif failure is not self.seen:
            self.failure = failure
            failure.prepare_text()
        self.seen = failure

    def forget(self) -> None:
        """Forget the failure: the chain has continued with a result."""
        self.failure = self.seen = None

    @property
    def failResult(self) -> Failure | None:
        """The failure, by Twisted's name; Twisted's Deferreds set it to None."""
        return self.failure

    @failResult.setter
    def failResult(self, failure: None) -> None:
        self.forget()

    def stacks(self) -> str:
        """Return the stacks recorded while debugging, as text."""
        text = ""
        if self.creator is not None:
            text += "The Deferred was created:\n" + "".join(self.creator)
        if self.invoker is not None:
            text += "It was fired:\n" + "".join(self.invoker)
        return text

    def keep_creator(self) -> None:
        """Record the caller's stack as the place where the Deferred was made."""
        self.creator = traceback.format_stack()[:-2]

    def keep_invoker(self) -> None:
        """Record the caller's stack as the place where the Deferred was fired."""
        self.invoker = traceback.format_stack()[:-2]

    def __del__(self) -> None:
        failure = self.failure
        if failure is None:
            return
        if failure.together is not None and failure.together.has_one:
            failure.together.count += 1
            return
        name = "" if self.label is None else f" of {self.label!r}"
        text = f"Unhandled error in Deferred{name}\n{failure.text_for_log()}{self.stacks()}"
        if failure.together is None:
            _logger.error("%s", text)
        else:
            failure.together.begin(text)


class Together:
    """Combines the unhandled failures of many Deferreds with one cause into one log record.

    Each failure has it as its ``together``.

    Args:
        what: the Deferreds' source, in the plural, and the cause.

    Attributes:
        count: how many were collected with the failure since the last call of :meth:`tell`.
    """

    __slots__ = ("_first", "_what", "count")

    def __init__(self, what: str):
        self.count = 0
        self._first = ""
        self._what = what

    @property
    def has_one(self) -> bool:
        """Whether the text of a failure has been recorded."""
        return self.count > 0

    def begin(self, text: str) -> None:
        """Count the first failure; ``text`` is the record if it stays the only one."""
        self._first = text
        self.count = 1

    def tell(self) -> None:
        """Log the counted failures. Later ones are logged in one more record, after the last."""
        count, self.count = self.count, 0
        if count == 1:
            _logger.error("%s", self._first)
        elif count:
            _logger.error("%d %s", count, self._what)

    def __del__(self) -> None:
        self.tell()
