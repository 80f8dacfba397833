"""Reads the navigation of the site from the lists of ``docs/index.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

__all__ = ["SECTIONS", "Navigation", "missing", "read", "targets"]

SECTIONS = ("Learn", "Do", "Look up", "Trust", "Understand")
"""The headings of ``docs/index.md`` whose lists are the navigation."""

Navigation: TypeAlias = list["dict[str, str | Navigation]"]
"""Titles with the place of a page, or with a navigation of their own: the form of mkdocs.yml."""

ITEM = re.compile(r"\s*- \[(?P<title>[^\]]+)\]\((?P<target>[^)#]+\.md)\)")


def read(text: str) -> Navigation:
    """Return the sections of a page with the pages that their lists name.

    A heading ``###`` within a section is a group of its own.
    """
    found: Navigation = []
    entries: Navigation | None = None
    section: Navigation | None = None
    for line in text.splitlines():
        title = line.lstrip("# ")
        if line.startswith("## "):
            section = entries = [] if title in SECTIONS else None
            if section is not None:
                found.append({title: section})
        elif line.startswith("### ") and section is not None:
            entries = []
            section.append({title: entries})
        elif entries is not None and (item := ITEM.match(line)):
            entries.append({item["title"].replace("`", ""): item["target"]})
    return found


def targets(navigation: Navigation) -> Iterator[str]:
    """Yield the places of the pages of a navigation."""
    for entry in navigation:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from targets(value)


def missing(docs: Path, navigation: Navigation) -> list[str]:
    """Return the pages of a folder that no list names, and those that are named twice."""
    named = list(targets(navigation))
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")} - {"index.md"}
    return sorted(pages - set(named)) + sorted({name for name in named if named.count(name) > 1})
