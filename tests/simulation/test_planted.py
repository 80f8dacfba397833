"""Planted bugs: all fit the sources, and the page tells of them and of what was run."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulation.record import PAGE, PATCHES, page
from support.planted import Bug, Misfit, all_bugs, copy_sources

BUGS = all_bugs(PATCHES)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources."""
    folder = tmp_path_factory.mktemp("sources")
    copy_sources(folder)
    return folder


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_each_bug_fits(bug: Bug, sources: Path) -> None:
    """Each patch changes exactly one place of the sources as they are now, and still compiles."""
    files = {file: (sources / file).read_text("utf-8") for file, _, _ in bug.hunks}
    assert files
    bug.plant(sources)
    for file, before in files.items():
        planted = (sources / file).read_text("utf-8")
        assert planted != before
        compile(planted, file, "exec")
        (sources / file).write_text(before, "utf-8")


def test_a_bug_that_does_not_fit(tmp_path: Path) -> None:
    """A patch whose lines are not there, or there twice, is refused, and nothing is changed."""
    patch = tmp_path / "some.patch"
    patch.write_text("It adds wrongly.\n--- a/f.py\n+++ b/f.py\n@@ -1 +1 @@\n-1 + 1\n+1 + 2\n")
    bug = Bug.read(patch)
    assert (bug.name, bug.text) == ("some", "It adds wrongly.")
    file = tmp_path / "f.py"
    for text in ("2 + 2\n", "1 + 1\n1 + 1\n"):
        file.write_text(text)
        with pytest.raises(Misfit, match=r"stand \d times in f.py, not once"):
            bug.plant(tmp_path)
        assert file.read_text() == text
    file.write_text("0\n1 + 1\n")
    bug.plant(tmp_path)
    assert file.read_text() == "0\n1 + 2\n"


def test_the_page() -> None:
    """The page is made from the rules, the bugs and the runs that were written down."""
    assert PAGE.read_text("utf-8") == page()
