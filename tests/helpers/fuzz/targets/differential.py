"""Ours beside Twisted's decoders: the same value, both refuse, or a difference that has a name."""

from __future__ import annotations

import warnings
from collections import Counter
from types import SimpleNamespace
from typing import Any

from twisted.spread import banana as twisted_banana
from twisted.spread import jelly as twisted_jelly
from vectors import graphs

from fuzz.bending import pieces
from fuzz.dice import Dice
from fuzz.differences import Outcome, difference
from fuzz.expressions import Jellied, raw
from fuzz.targets.banana import outcome, stream
from jelly.bases import Jellyable, Unjellyable
from jelly.codec import Reader
from jelly.errors import DecodeError, LimitExceeded
from jelly.limits import Limits
from jelly.registry import Registry
from jelly.security import SecurityOptions
from jelly.unjellier import Unjellier
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = ["DIFFERED", "fuzz_banana", "fuzz_jelly"]

DIFFERED: Counter[str] = Counter()
"""How often each named difference was met."""

_DIALECTS = ((b"pb", PB_VOCABULARY), (b"none", NONE_VOCABULARY))
_TAGS = (b"graphs.Point", b"graphs.Card")
_REGISTRY = Registry()


def _register() -> None:
    ours = SimpleNamespace(
        Jellyable=Jellyable, Unjellyable=Unjellyable, Copyable=Jellyable, RemoteCopy=Unjellyable
    )
    theirs = SimpleNamespace(
        Jellyable=twisted_jelly.Jellyable,
        Unjellyable=twisted_jelly.Unjellyable,
        Copyable=twisted_jelly.Jellyable,
        RemoteCopy=twisted_jelly.Unjellyable,
    )
    for tag in _TAGS:
        name = tag.rpartition(b".")[2].decode("ascii")
        _REGISTRY.add_class(tag, getattr(graphs.make_classes(ours), name))
        twisted_jelly.setUnjellyableForClass(tag, getattr(graphs.make_classes(theirs), name))
    # It warns of its own support for the tag of instances.
    warnings.simplefilter("ignore", DeprecationWarning)


_register()


def _security(module: Any, with_code: bool) -> Any:
    options = module.SecurityOptions()
    options.allowBasicTypes()
    if with_code:
        options.allowInstancesOf(graphs.Plain)
        options.allowTypes("function", "method")
    return options


_OURS = tuple(_security(SimpleNamespace(SecurityOptions=SecurityOptions), code) for code in (0, 1))
_THEIRS = tuple(_security(twisted_jelly, code) for code in (0, 1))


class _Reader(twisted_banana.Banana):
    """Twisted's decoder past its handshake, with the face of ours."""

    def __init__(self, dialect: bytes):
        super().__init__()
        self.transport = None
        self.connectionMade()
        self.currentDialect = dialect
        self._done: list[Any] = []

    def expressionReceived(self, expression: Any) -> None:
        self._done.append(expression)

    def take(self, chunks: list[bytes]) -> tuple[list[Any], BaseException | None]:
        """Return what is read of the chunks, and the error that refused them."""
        try:
            for chunk in chunks:
                self.dataReceived(chunk)
        except Exception as error:
            return self._done, error
        return self._done, None


def fuzz_banana(data: bytes) -> None:
    """Run one input through both decoders of banana."""
    dice = Dice(data)
    dialect, words = dice.pick(_DIALECTS)
    written = stream(dice, words)
    reader = Reader(Limits(), words)
    ours, is_refused = outcome(reader, [written], lambda: -1)
    theirs, error = _Reader(dialect).take(list(pieces(dice, written)))
    if repr(ours) == repr(theirs) and is_refused == (error is not None):
        return
    _explain(
        Outcome(ours, _fault(written, words) if is_refused else None), Outcome(theirs, error), None
    )


def _fault(written: bytes, words: dict[bytes, int]) -> BaseException | None:
    reader = Reader(Limits(), words)
    reader.feed(written)
    try:
        while reader.read():
            pass
    except LimitExceeded as error:
        return error
    return None


def fuzz_jelly(data: bytes) -> None:
    """Run one expression through both unjelliers."""
    dice = Dice(data)
    code = dice.below(2)
    expression = Jellied(dice, _TAGS, code=bool(code)).make() if dice.below(8) else raw(dice)
    ours = _outcome(
        lambda: Unjellier(_OURS[code], registry=_REGISTRY, allow_code=bool(code)).unjellyFull(
            expression
        ),
        (DecodeError, LimitExceeded),
    )
    theirs = _outcome(lambda: twisted_jelly.unjelly(expression, _THEIRS[code]), Exception)
    both_refuse = ours.error is not None and theirs.error is not None
    if both_refuse or (ours.portrait == theirs.portrait and (ours.error or theirs.error) is None):
        return
    _explain(ours, theirs, expression)


def _outcome(unjelly: Any, refusals: Any) -> Outcome:
    try:
        portrait = repr(graphs.portrait(unjelly()))
    except refusals as error:
        return Outcome(error=error)
    # The one class of jelly's own that a value can be of.
    return Outcome(portrait.replace("twisted.spread.jelly.Unpersist", "jelly.bases.Unpersist"))


def _explain(ours: Outcome, theirs: Outcome, expression: Any) -> None:
    name = difference(ours, theirs, expression)
    assert name is not None, f"an unnamed difference: {_short(ours)} beside {_short(theirs)}"
    DIFFERED[name] += 1


def _short(side: Outcome) -> str:
    return "a value" if side.error is None else f"{type(side.error).__name__}({side.error})"[:150]
