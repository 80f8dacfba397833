"""broker.commands.configuration: a file that makes an application, and each that does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.commands.configuration import WrongFile, application_of
from broker.reactor import service


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Give back the path for imports, which a file changes."""
    before = [*sys.path]
    yield
    sys.path[:] = before
    sys.modules.pop("__application__", None)
    sys.modules.pop("a_neighbour", None)


def test_an_application(tmp_path: Path) -> None:
    """The file can import from its own folder, and knows that it is not the main program."""
    (tmp_path / "a_neighbour.py").write_text("NAME = 'shop'\n")
    file = tmp_path / "shop.tac"
    file.write_text(
        "import a_neighbour\nfrom broker.reactor import service\n"
        "application = service.Application(a_neighbour.NAME)\nwhere = (__name__, __file__)\n"
    )
    application = application_of(str(file))
    assert service.IService(application).name == "shop"
    assert sys.modules["__application__"].where == ("__application__", str(file))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("x = 1\n", "does not make an application: add a line such as"),
        ("application = 5\n", "its application is of type int, and was not made"),
        ("x = 1\ny = x +\n", "line 2: invalid syntax"),
        ("x = 1\nx.missing\n", "line 2: AttributeError: 'int' object has no attribute"),
    ],
)
def test_what_is_wrong(tmp_path: Path, content: str, text: str) -> None:
    """The error names the file, and the line if Python knows it."""
    file = tmp_path / "wrong.tac"
    file.write_text(content)
    with pytest.raises(WrongFile, match=text) as caught:
        application_of(str(file))
    assert str(file) in str(caught.value)
