"""The page of the vocabulary, from what the walk found."""

from __future__ import annotations

from collections.abc import Iterable

import twisted
from support.folders import DOCS

from broker.porting import reasons
from vocabulary import field
from vocabulary.replacements import OBJECTS
from vocabulary.signatures import Difference
from vocabulary.twisteds_tests import section
from vocabulary.walker import Walk

__all__ = [
    "PAGE",
    "page_of",
    "reason_of",
    "stale",
    "stale_instead",
    "unexplained",
    "unexplained_imports",
]

PAGE = DOCS / "reference" / "vocabulary.md"

_HEAD = """\
# Vocabulary

Twisted's modules that have a place here are compared name by name: whether a public name is
there, how it is called (names, order, kinds and defaults of its parameters), and its value, if that
is a number, a text or None. `make vocabulary` makes this
page from the Twisted that is installed, here {version}; a test fails on a difference that has no
reason below, and on a reason without a difference.

These names count: names that a module lists in `__all__` or binds by itself, and the members that
its classes define. These do not count: names with a leading underscore, imported names, and names
that Twisted marks deprecated. Additional keyword-only parameters here do not count as a
difference. Bases are compared as far as `except` and `isinstance` can ask for them by a name of
these modules.

A module of Twisted that is not in the table has no place here, except for the few names of
[others that programs use](#in-the-field). [Coming from Twisted](../howto/coming-from-twisted.md)
lists the parts that are not provided, and the differences of behaviour under the same names.

"""

_FIELD = """
## In the field

What 13 public programs with Perspective Broker import of Twisted, but for web, mail, names, words
and test modules: {share}.

| programs | import | here |
|---:|---|---|
"""

_READ = """
Programs copy factories, portals and helpers from each other. All names that these read, write or
override are here, also those with a leading underscore.

| Twisted | here | names |
|---|---|---|
"""


def reason_of(difference: Difference) -> str:
    """Return why, or nothing."""
    return reasons.reason_of(difference.name, is_absent=not difference.theirs)


def unexplained(walks: list[Walk]) -> list[Difference]:
    """Return the differences without a reason."""
    return [found for walk in walks for found in walk.differences if not reason_of(found)]


def stale(walks: list[Walk]) -> list[str]:
    """Return the patterns that are for no difference."""
    found = [difference for walk in walks for difference in walk.differences]
    return [
        pattern
        for pattern, _ in reasons.patterns()
        if not any(
            reasons.matches(pattern, difference.name, not difference.theirs) for difference in found
        )
    ]


def page_of(walks: list[Walk]) -> str:
    """Return the page."""
    parts = [_HEAD.format(version=twisted.__version__), *_summary(walks)]
    parts += (part for walk in walks if walk.differences for part in _module(walk))
    parts += [*_field(), "\n", *section()]
    return "".join(parts)


def _summary(walks: list[Walk]) -> Iterable[str]:
    yield "| Twisted | here | compared | absent | differ |\n|---|---|---:|---:|---:|\n"
    for replacement, count, differences in walks:
        differ = sum(bool(difference.theirs) for difference in differences)
        absent = len(differences) - differ
        ours = (
            replacement.ours if replacement not in OBJECTS else replacement.ours.rpartition(".")[2]
        )
        yield f"| `{replacement.theirs}` | `{ours}` | {count} | {absent or ''} | {differ or ''} |\n"


def _module(walk: Walk) -> Iterable[str]:
    yield f"\n## {walk.replacement.theirs}\n"
    absent: dict[str, list[str]] = {}
    differing = []
    for difference in walk.differences:
        name = difference.name.removeprefix(f"{walk.replacement.theirs}.")
        if difference.theirs:
            differing.append((name, difference))
        else:
            absent.setdefault(reason_of(difference), []).append(f"`{name}`")
    if absent:
        yield "\n| absent | why |\n|---|---|\n"
        yield from (f"| {', '.join(names)} | {why} |\n" for why, names in absent.items())
    if differing:
        yield "\n| differs | there | here | why |\n|---|---|---|---|\n"
        for name, found in differing:
            row = f"`{name}` | `{found.theirs}` | `{found.ours}` | {reason_of(found)}"
            yield f"| {row} |\n"


def _field() -> Iterable[str]:
    rows = field.imports()
    yield _FIELD.format(share=field.share(rows))
    for row in rows:
        location = field.location_of(row)
        here = f"`{location}`" if location else field.reason_of(row)
        yield f"| {row.programs} | `{row}` | {here} |\n"
    yield _READ
    for reading in field.READ:
        names = ", ".join(f"`{name}`" for name in reading.names.split())
        yield f"| `{reading.theirs}` | `{reading.ours}` | {names} |\n"


def unexplained_imports() -> list[str]:
    """Return the imports of the field that are absent without a reason, and absent names."""
    lost = [str(row) for row in field.imports() if not field.location_of(row)]
    found = [name for name in lost if name not in reasons.INSTEAD]
    for reading in field.READ:
        found += [f"{reading.ours}.{name}" for name in field.lacking(reading)]
    return found


def stale_instead() -> list[str]:
    """Return the reasons for imports that are here, or that nobody makes."""
    lost = {str(row) for row in field.imports() if not field.location_of(row)}
    return sorted(reasons.INSTEAD.keys() - lost)
