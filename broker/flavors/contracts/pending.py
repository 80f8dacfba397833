"""References that are used before the call that returns them is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from broker.errors import WrongResult
from broker.flavors.promise import Kind, Pending, Promise
from broker.flavors.reference import RemoteReference, unwrapped
from jelly.atoms import Expression

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["PendingReference"]


class PendingReference:
    """Stands for the reference that a call returns; its calls are calls on the promise.

    Args:
        answer: the promise of that call, whose result is a reference or a proxy.
    """

    def __init__(self, answer: Promise[Any]):
        self._answer = answer

    def __repr__(self) -> str:
        return f"<the result of {self._name}, which has not come yet>"

    @property
    def _name(self) -> str:
        return self._answer.method

    @property
    def promise(self) -> Promise[Any]:
        """The promise of the call."""
        return self._answer

    @property
    def reference(self) -> RemoteReference | None:
        """The reference; None if it has not come."""
        return _reference_in(self._answer.result) if self._answer.called else None

    def call_as(
        self, kind: Kind, name: str, args: tuple[object, ...], kw: dict[str, object]
    ) -> Pending:
        """Call a method of the object; see ``Promise.call_as``."""
        return cast("Pending", self._answer.call_as(kind, name, args, kw))

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Call a method one way; do nothing if the reference never comes."""
        self._answer.call_as(Promise, _name, args, {**kw, "pbanswer": False})

    async def wait(self) -> RemoteReference:
        """Return the reference when it has come.

        Raises:
            WrongResult: the result is not a reference. The error of the call is raised.
        """
        reference = _reference_in(await self._answer)
        if reference is None:
            raise WrongResult(f"{self._name}: result: an object of this side came back")
        return reference

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return the expression of the promise; see ``Promise.jellyFor``."""
        return self._answer.jellyFor(jellier)


def _reference_in(result: object) -> RemoteReference | None:
    reference = unwrapped(result)
    return reference if isinstance(reference, RemoteReference) else None
