"""The documentation as a site: its links lead somewhere, and its navigation has each page.

`make docs` builds the site, and fails for the same reasons; `make system` looks at it in Chromium.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from support.folders import DOCS, ROOT
from website import links, navigation
from website.modules import API
from website.pages import Pages

INDEX = (DOCS / "index.md").read_text("utf-8")


@pytest.mark.parametrize("page", links.pages(ROOT), ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Each link of a page to a file, or to a heading of a page, leads to one."""
    assert list(links.broken(page)) == []


def test_every_page_has_its_place() -> None:
    """The lists of docs/index.md name each page of docs once."""
    found = navigation.read(INDEX)
    assert navigation.missing(DOCS, found) == []
    assert [title for section in found for title in section] == list(navigation.SECTIONS)


@pytest.mark.parametrize("name", [name for names in API.values() for name in names])
def test_every_public_name_has_a_text(name: str) -> None:
    """Each public function and class of a module with a page has a docstring."""
    module = import_module(name)
    bare = [
        each
        for each in module.__all__
        if inspect.isroutine(found := getattr(module, each)) or inspect.isclass(found)
        if not found.__doc__
    ]
    assert bare == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A link to no file, and one to no heading, are found; links in code are not links."""
    page = tmp_path / "page.md"
    page.write_text(
        "# The `top` of it\n\n[a](page.md#the-top-of-it) [b](#below) [c](gone.md) [d](https://x.y)\n\n"
        "```text\n[e](nowhere.md)\n# below\n```\n",
        encoding="utf-8",
    )
    assert list(links.broken(page)) == ["#below", "gone.md"]


def test_pages_that_are_missing(tmp_path: Path) -> None:
    """A page that no list names is found, and so is one that two lists name."""
    text = (
        "## Learn\n\n- [One](one.md): first\n\n### More\n\n- [`Two`](two.md)\n"
        "\n## Do\n\n- [Two](two.md)\n"
    )
    for name in ("index", "one", "two", "three"):
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    found = navigation.read(text)
    assert found == [
        {"Learn": [{"One": "one.md"}, {"More": [{"Two": "two.md"}]}]},
        {"Do": [{"Two": "two.md"}]},
    ]
    assert navigation.missing(tmp_path, found) == ["three.md", "two.md"]


def test_links_that_leave_docs(tmp_path: Path) -> None:
    """In the site they lead to copies: of the pages beside docs, and of files of the repository."""
    Pages(ROOT, tmp_path).write()
    for page in tmp_path.rglob("*.md"):
        if page.parts[len(tmp_path.parts)] != "source":
            assert list(links.broken(page)) == [], page
    steps = (tmp_path / "source" / "broker" / "demo" / "steps.py.md").read_text("utf-8")
    assert (ROOT / "broker" / "demo" / "steps.py").read_text("utf-8").rstrip() in steps


def test_nothing_is_loaded_from_elsewhere() -> None:
    """The settings of the site name no other host, and no fonts of one."""
    settings = (DOCS / "site" / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in settings
    assert not re.search("https?://", settings + (DOCS / "site" / "style.css").read_text("utf-8"))
