"""Finds the links of the documentation that lead nowhere: to no file, or to no heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from website.pages import PROJECT, links_of, outside_code

__all__ = ["broken", "pages", "slugs"]

HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)


def pages(root: Path) -> list[Path]:
    """Return the pages of a repository that the site has."""
    return sorted([*(root / "docs").rglob("*.md"), *(root / name for name in PROJECT)])


def slugs(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and the site make them."""
    found: set[str] = set()

    def note(part: str) -> str:
        for heading in HEADING.findall(part):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
        return part

    outside_code(note, text)
    return found


@cache
def _slugs_of(page: Path) -> set[str]:
    return slugs(page.read_text("utf-8"))


def broken(page: Path) -> Iterator[str]:
    """Yield each link of a page to a file or a heading that does not exist."""
    for target, anchor in links_of(page.read_text("utf-8")):
        linked = page.parent / target if target else page
        is_page = linked.suffix == ".md"
        if not linked.exists() or (anchor and not (is_page and anchor[1:] in _slugs_of(linked))):
            yield target + anchor
