"""The files of the package are pages, by their names and no other paths."""

from __future__ import annotations

from importlib import resources

from broker.net.websocket.pages import static_page


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
