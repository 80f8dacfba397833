"""Makes the pages of the site from those of the repository, whose links may leave ``docs``.

The pages of ``docs`` keep their places. README.md and its neighbours become pages of the folder
``project``. A source file that a page links to becomes a page of ``source`` with its text.
"""

from __future__ import annotations

import html
import os
import re
import shutil
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

__all__ = ["PROJECT", "Pages", "links_of", "outside_code"]

PROJECT = {
    "README.md": "project/readme.md",
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changes.md",
}
"""Pages beside ``docs``, and their places in the site."""

LANGUAGES = {".py": "python", ".md": "markdown", ".ts": "ts", ".html": "html", ".css": "css"}
CODE_WITH_BAR = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")
LINK = re.compile(r"(?<=\]\()([^)#\s]*)(#[^)\s]*)?(?=\))")
WIDE = {"index.md": "[navigation, toc]", "howto/coming-from-*.md": "[toc]"}
"""Pages that have two programs beside each other, and what is hidden there to make room."""
FENCE = re.compile(r"(?ms)(^ *```.*?^ *```[ ]*$)")


def outside_code(change: Callable[[str], str], text: str) -> str:
    """Change the parts of a page that are not code blocks."""
    parts = FENCE.split(text)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def links_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the target and the ``#anchor`` of each link of a page to a file."""
    for target, anchor in LINK.findall("".join(FENCE.split(text)[::2])):
        if "://" not in target and not target.startswith("mailto:"):
            yield target, anchor


def _with_bar(found: re.Match[str]) -> str:
    """The code of a cell of a table that has a bar, ``\\|`` in Markdown of GitHub, as HTML."""
    return f"<code>{html.escape(found[1]).replace(chr(92) + '|', '&#124;')}</code>"


class Pages:
    """The pages of the site, written to a folder.

    Args:
        root: the folder of the repository.
        folder: where the pages are written; an older folder of that name is removed.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._sources: set[str] = set()

    def write(self) -> None:
        """Copy the pages with their pictures, and write those of the files that they link to."""
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._root / "docs", self._folder)
        for page in sorted(self._folder.rglob("*.md")):
            self._rewrite(f"docs/{page.relative_to(self._folder).as_posix()}")
        for name in PROJECT:
            self._rewrite(name)
        written: set[str] = set()
        while self._sources != written:
            for path in sorted(self._sources - written):
                self._write_source(path)
                written.add(path)

    def add(self, place: str, text: str) -> None:
        """Write one more page at a place of the site."""
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _rewrite(self, path: str) -> None:
        text = (self._root / path).read_text("utf-8")
        place = self._place(path)

        def target(found: re.Match[str]) -> str:
            if not found[1] or "://" in found[1]:
                return found[0]
            linked = os.path.normpath(PurePosixPath(path).parent / found[1])
            where = os.path.relpath(
                self._place(PurePosixPath(linked).as_posix()), Path(place).parent
            )
            return PurePosixPath(where).as_posix() + (found[2] or "")

        def change(part: str) -> str:
            return CODE_WITH_BAR.sub(_with_bar, LINK.sub(target, part))

        hidden = [what for each, what in WIDE.items() if fnmatch(place, each)]
        head = f"---\nhide: {hidden[0]}\n---\n" if hidden else ""
        self.add(place, head + outside_code(change, text))

    def _place(self, path: str) -> str:
        """Where a file of the repository is in the site."""
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        if path in PROJECT:
            return PROJECT[path]
        self._sources.add(path)
        return f"source/{path}.md"

    def _write_source(self, path: str) -> None:
        """Write the page of a file, or of a folder with links to its files."""
        found = self._root / path
        lines = [f"# `{path}`", ""]
        if found.is_dir():
            inner = [p for p in sorted(found.iterdir()) if p.suffix in LANGUAGES or p.is_dir()]
            for each in inner:
                if each.name.startswith(("_", ".")) or each.name == "node_modules":
                    continue
                self._place(f"{path}/{each.name}")
                lines.append(f"- [`{each.name}`]({found.name}/{each.name}.md)")
        else:
            fence = "````" if found.suffix == ".md" else "```"
            lines += [
                fence + LANGUAGES.get(found.suffix, ""),
                found.read_text("utf-8").rstrip(),
                fence,
            ]
        self.add(f"source/{path}.md", "\n".join([*lines, ""]))
