"""Unhandled: reports the failure with which a Deferred was collected."""

from __future__ import annotations

import logging
import traceback

from broker.failure import Failure

__all__ = ["Unhandled"]

_logger = logging.getLogger("broker.defer")


class Unhandled:
    """Belongs to one Deferred, and is collected with it.

    A Deferred has one only once its chain ends in a failure (or while debugging), so that a call
    that succeeds pays for no finalizer.

    Attributes:
        failure: what to log on collection, or None.
        label: what the result would have been of, such as the name of a remote method; or None.
        seen: the last failure that was noted here; noting it again does not raise the alarm again.
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
        """Raise the alarm for `failure`, unless an awaiter got it now or it was seen before."""
        if is_handled:
            self.failure = None
        elif failure is not self.seen:
            self.failure = failure
            failure.prepare_text()
        self.seen = failure

    def forget(self) -> None:
        """Hold no failure any more: the chain has gone on with a result."""
        self.failure = self.seen = None

    def stacks(self) -> str:
        """Return the stacks kept while debugging, as text."""
        text = ""
        if self.creator is not None:
            text += "The Deferred was created:\n" + "".join(self.creator)
        if self.invoker is not None:
            text += "It was fired:\n" + "".join(self.invoker)
        return text

    def keep_creator(self) -> None:
        """Keep the caller's stack as the place where the Deferred was made."""
        self.creator = traceback.format_stack()[:-2]

    def keep_invoker(self) -> None:
        """Keep the caller's stack as the place where the Deferred was fired."""
        self.invoker = traceback.format_stack()[:-2]

    def __del__(self) -> None:
        failure = self.failure
        if failure is not None:
            name = "" if self.label is None else f" of {self.label!r}"
            text = failure.text_for_log()
            _logger.error("Unhandled error in Deferred%s\n%s%s", name, text, self.stacks())
