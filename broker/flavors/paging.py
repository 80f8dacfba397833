"""Paging: sends a long value in pieces, as fast as the peer reads them.

The receiver sends a *collector*. A Pager at the sender calls the collector's ``gotPage`` one way
for each piece, when the transport has capacity, and ``endedPaging`` at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

from broker.defer import Deferred
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable

__all__ = ["CallbackPageCollector", "FilePager", "Pager", "StringPager", "getAllPages"]


class Pager:
    """Sends pages to a collector until it is stopped; a subclass makes them (published).

    Args:
        collector: the reference to the peer's collector.
        callback: called as ``callback(*args, **kw)`` after the end has been sent.
    """

    def __init__(
        self,
        collector: RemoteReference,
        callback: Callable[..., object] | None = None,
        *args: object,
        **kw: object,
    ):
        self.collector = collector
        self.callback = callback
        self.callbackArgs = args
        self.callbackKeyword = kw
        self._is_paging = True
        collector.broker.registerPageProducer(self)

    def stillPaging(self) -> bool:
        """Return whether pages are left; at the end, notify the collector and call ``callback``.

        The Broker calls this after each page.
        """
        if not self._is_paging:
            self.collector.callRemote("endedPaging", pbanswer=False)
            if self.callback is not None:
                self.callback(*self.callbackArgs, **self.callbackKeyword)
        return self._is_paging

    def sendNextPage(self) -> None:
        """Send one page; the Broker calls this when the transport has capacity."""
        self.collector.callRemote("gotPage", self.nextPage(), pbanswer=False)

    def nextPage(self) -> object:
        """Return the next page; a subclass overrides this, and calls ``stopPaging`` with the last
        page.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no pages: override nextPage")

    def stopPaging(self) -> None:
        """Send no page after the current one."""
        self._is_paging = False


class StringPager(Pager):
    """Sends bytes, or a str, in pieces (published).

    Args:
        collector, callback, args, kw: as for Pager.
        st: the value to send.
        chunkSize: the length of a piece.
    """

    def __init__(
        self,
        collector: RemoteReference,
        st: bytes | str,
        chunkSize: int = 8192,
        callback: Callable[..., object] | None = None,
        *args: object,
        **kw: object,
    ):
        self.string = st
        self.pointer = 0
        self.chunkSize = chunkSize
        super().__init__(collector, callback, *args, **kw)

    def nextPage(self) -> bytes | str:
        """Return the next piece."""
        start, self.pointer = self.pointer, self.pointer + self.chunkSize
        if self.pointer >= len(self.string):
            self.stopPaging()
        return self.string[start : self.pointer]


class FilePager(Pager):
    """Sends the content of a file in pieces (published).

    Args:
        collector, callback, args, kw: as for Pager.
        fd: a file that is open for reading bytes; it is not closed.

    Attributes:
        deferred: fires with the last byte of the file when the file has been read; fails if reading
            fails.
    """

    # The default loop at the other end reads at most this much at a time.
    chunkSize = 64 * 1024

    def __init__(
        self,
        collector: RemoteReference,
        fd: BinaryIO,
        callback: Callable[..., object] | None = None,
        *args: object,
        **kw: object,
    ):
        self.fd = fd
        self.deferred: Deferred[bytes] = Deferred()
        self._last = b""
        super().__init__(collector, callback, *args, **kw)

    def sendNextPage(self) -> None:
        """Read a piece and send it; an empty piece is the end of the file."""
        try:
            page = self.fd.read(self.chunkSize)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - any error in reading ends the transfer
            self.stopPaging()
            self.deferred.errback(error)
            return
        if not page:
            self.stopPaging()
            self.deferred.callback(self._last)
            return
        self._last = page[-1:]
        self.collector.callRemote("gotPage", page, pbanswer=False)


class CallbackPageCollector(Referenceable):
    """Keeps the received pages, and passes them to a callback at the end (published).

    Args:
        callback: called with the list of pages.
    """

    def __init__(self, callback: Callable[[list[Any]], object]):
        self.pages: list[Any] = []
        self.callback = callback

    def remote_gotPage(self, page: object) -> None:
        """Keep a page."""
        self.pages.append(page)

    def remote_endedPaging(self) -> None:
        """Pass the received pages to the callback."""
        self.callback(self.pages)


def getAllPages(
    referenceable: RemoteReference, methodName: str, *args: object, **kw: object
) -> Deferred[list[Any]]:
    """Call a method whose first argument is a collector; return a Deferred of all pages
    (published).

    The Deferred fails if the call fails.
    """
    pages: Deferred[list[Any]] = Deferred()
    collector = CallbackPageCollector(pages.callback)
    called = referenceable.callRemote(methodName, collector, *args, **kw)
    called.addErrback(lambda failure: None if pages.called else pages.errback(failure))
    return pages
