"""The files of the package are pages, by their names and no other paths."""

from __future__ import annotations

from importlib import resources

import pytest

from broker.net.web_pages import Page
from broker.net.websocket.pages import admin_page, static_page


def test_files() -> None:
    """Each file in the folder is a page, with its kind and a tag."""
    folder = resources.files("broker") / "web" / "static"
    for file in folder.iterdir() if folder.is_dir() else ():
        found = static_page(f"/{file.name}")
        assert found is not None
        assert found.body == file.read_bytes()
        assert found.kind.startswith("text/javascript") == file.name.endswith("js")
        assert found.tag.startswith('"')


def test_no_files() -> None:
    """Nothing else is."""
    for path in ("/nothing", "/../limits.py", "/index.html/", "//index.html", "index", "/."):
        assert static_page(path) is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/admin", "text/html"), ("/admin/admin.js", "text/javascript"),
     ("/admin/admin.css", "text/css"), ("/admin/icon.svg", "image/svg+xml")],
)  # fmt: skip
def test_the_page_of_operators(path: str, kind: str) -> None:
    """The page is at ``/admin``, and its files are below it."""
    found = admin_page(path)
    assert isinstance(found, Page)
    assert found.kind.startswith(kind) and found.tag


def test_no_files_of_operators() -> None:
    """Nothing else is; nor are these files among those for everybody."""
    for path in ("/", "/admin.html", "/admin/", "/admin/../static/broker.js", "/adminadmin.js",
                 "/admin/admin", "admin.js", "/admin/broker.js", "/admin//admin.js"):  # fmt: skip
        assert admin_page(path) is None
    for path in ("/admin.html", "/admin.js", "/admin"):
        assert static_page(path) is None
