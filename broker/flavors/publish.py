"""Published objects: a client keeps copies in files, and fetches only those that changed.

Theory of operation. A Publishable is sent as a cache. Its state is only a time stamp, and a view
from which the client gets the rest. The RemotePublished at the client looks for a file that it
wrote for the same object. If the file has the same time stamp, it holds the state. Otherwise the
client calls ``getStateToPublish`` of the view, and writes the answer to the file. The files are in
a directory that the application names. A file's name is a hash of what the peer says about the
object. Files are read with a policy that allows only the class itself. So a peer can neither choose
a path nor, through a file, create another type. Without a directory no copy is kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from broker.defer import Deferred
from broker.flavors.cacheable import Cacheable, RemoteCache, RemoteCacheObserver
from broker.flavors.reference import RemoteReference
from broker.flavors.viewable import ViewPoint
from broker.printable import printable, text_of_error
from jelly import banana
from jelly.errors import JellyError, MalformedJelly
from jelly.fields import engine_class, shape_of
from jelly.jellier import Jellier
from jelly.registry import defaults
from jelly.security import SecurityOptions
from jelly.state import put_state
from jelly.unjellier import Unjellier

__all__ = ["Publishable", "RemotePublished", "whenReady"]

logger = logging.getLogger("broker.publish")

# The peer's description of a published object, without its state.
_SAID = ("remote", "publishedID", "perspective", "service", "timestamp")
# Attributes that a peer cannot set.
_OURS = ("broker", "luid", "directory", "isActivated", "_listeners")


class Publishable(Cacheable):
    """An object that clients cache in files, and fetch again after it was republished (published).

    Args:
        publishedID: distinguishes this object from others of its class; part of the name of
            its file at the client.

    Attributes:
        timestamp: when it was last republished, in seconds since the epoch.
    """

    def __init__(self, publishedID: object):
        self.republish()
        self.publishedID = publishedID

    def republish(self) -> None:
        """Mark the state as changed; clients see the change when they next get the object."""
        self.timestamp = time.time()

    def view_getStateToPublish(self, perspective: object) -> object:
        """Return the state to a client that has no copy, or an old one."""
        return self.getStateToPublishFor(perspective)

    def getStateToPublishFor(self, perspective: Any) -> Any:
        """Return the state for one perspective."""
        return self.getStateToPublish()

    def getStateToPublish(self) -> Any:
        """Return the state, a dict; a subclass overrides this, or ``getStateToPublishFor``."""
        raise NotImplementedError(f"{type(self).__name__} has no getStateToPublish")

    def getStateToCacheAndObserveFor(
        self, perspective: Any, observer: RemoteCacheObserver
    ) -> dict[str, Any]:
        """Return the time stamp, and the view from which a client gets the state."""
        name, service = "None", "None"
        if perspective is not None:
            name = getattr(perspective, "perspectiveName", "None")
            get_service = getattr(perspective, "getService", None)
            service = "None" if get_service is None else get_service().serviceName
        return {
            "remote": ViewPoint(perspective, self),
            "publishedID": self.publishedID,
            "perspective": name,
            "service": service,
            "timestamp": self.timestamp,
        }


@engine_class(*_OURS)
class RemotePublished(RemoteCache):
    """The client's copy of a Publishable (published).

    The state from the peer, or from a file, may set only the fields that the class declares, as for
    any copy; see ``broker.register``.

    Attributes:
        directory: a class attribute: where copies are kept. With None, the default, none are kept.
        isActivated: whether the state has been set.
    """

    directory: ClassVar[str | os.PathLike[str] | None] = None
    isActivated: bool | int = 0
    # The peer's description of the object, without the fields of the subclass.
    remote: RemoteReference
    publishedID: object
    perspective: object
    service: object
    timestamp: object

    def getFileName(self, ext: str = "pub") -> str:
        """Return the file's path in ``directory``: a hash of what the peer says about the object.

        Raises:
            ValueError: ``directory`` of the class is not set.
        """
        if self.directory is None:
            raise ValueError(f"{type(self).__name__}.directory is not set: nothing is kept")
        said = repr((type(self).__qualname__, self.service, self.perspective, self.publishedID))
        return str(Path(self.directory) / f"{hashlib.sha256(said.encode()).hexdigest()}.{ext}")

    def setCopyableState(self, state: Any) -> None:
        """Set the time stamp; get the state from the file, or from the peer.

        Raises:
            InsecureJelly: a field is not declared, or would hide an attribute of the class.
            MalformedJelly: the state is not a dict, or lacks a part of a Publishable's description.
        """
        cls = type(self)
        put_state(self, state, _is_declared(cls), also=_SAID, is_part=True)
        for name in _SAID:
            if name not in vars(self):
                raise MalformedJelly(f"field '{name}' of {cls.__name__} is missing")
        self._listeners: list[Callable[[Any], object]] = []
        if self._read():
            self._activate()
        else:
            self.remote.callRemote("getStateToPublish").addCallback(self._got_state)

    def activated(self) -> None:
        """Called when the state has been set; for subclasses."""

    def callWhenActivated(self, callback: Callable[[Self], object]) -> None:
        """Call ``callback(self)`` when the state has been set; at once if it already is."""
        if self.isActivated:
            callback(self)
        else:
            self._listeners.append(callback)

    def _got_state(self, state: object) -> None:
        self._put(state)
        self._activate()
        if self.directory is not None:
            self._write()

    def _put(self, state: object) -> None:
        put_state(self, state, _is_declared(type(self)), also=_SAID, present=vars(self))

    def _activate(self) -> None:
        self.isActivated = 1
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener(self)
        self.activated()

    def _read(self) -> bool:
        """Set the state from the file if it has the same time stamp; return whether it has."""
        if self.directory is None:
            return False
        try:
            expression = banana.decode(Path(self.getFileName()).read_bytes())
            security = SecurityOptions()
            security.allowBasicTypes()
            state = Unjellier(security).unjelly(expression)
            is_recent = isinstance(state, dict) and state.get("timestamp") == self.timestamp
            if is_recent:
                self._put(state)
        except FileNotFoundError:
            return False
        except (OSError, JellyError) as error:
            logger.warning("a kept copy is not used: %s", _why(error))
            return False
        return is_recent

    def _write(self) -> None:
        cls = type(self)
        kept = {*shape_of(cls).names, *_SAID} if _is_declared(cls) else vars(self).keys()
        names = kept - {*_OURS, "remote"}
        state = {key: value for key, value in vars(self).items() if key in names}
        path = Path(self.getFileName())
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        security = SecurityOptions()
        security.allowBasicTypes()
        try:
            unfinished.write_bytes(banana.encode(Jellier(security).jelly(state)))
            unfinished.replace(path)
        except (OSError, JellyError) as error:
            logger.warning("a copy is not kept: %s", _why(error))


def _why(error: Exception) -> str:
    return printable(text_of_error(error, 301), 300, is_ascii=False)


def _is_declared(cls: type) -> bool:
    return cls in defaults.declared.with_fields


Published = TypeVar("Published", bound=RemotePublished)


def whenReady(d: Deferred[Published]) -> Deferred[Published]:
    """Return a Deferred of ``d``'s RemotePublished, fired when its state is set (published)."""
    ready: Deferred[Published] = Deferred()
    d.addCallbacks(lambda published: published.callWhenActivated(ready.callback), ready.errback)
    return ready
