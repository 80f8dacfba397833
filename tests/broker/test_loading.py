"""Functions that are called when a module of somebody else's is loaded."""

import importlib
import importlib.util
import inspect
import sys

import pytest

from broker import loading
from broker.loading import when_loaded


@pytest.fixture
def make_module(tmp_path, monkeypatch):
    """Give a function that writes a module which nobody has imported."""
    monkeypatch.setattr(loading, "_finder", loading._Finder())
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, text="value = 1\n"):
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".py").write_text(text)
        importlib.invalidate_caches()

    yield make
    for name in [name for name in sys.modules if name.startswith("strange_")]:
        del sys.modules[name]


def test_called_once_loaded(make_module):
    """The function is called with the module when that has run, not before, and once."""
    make_module("strange_one")
    seen = []
    when_loaded("strange_one", lambda module: seen.append((module.__name__, module.value)))
    assert seen == []
    assert "strange_one" not in sys.modules
    import strange_one

    importlib.import_module("strange_one")
    assert seen == [("strange_one", 1)]
    assert strange_one is sys.modules["strange_one"]


def test_called_at_once(make_module):
    """A module that is loaded already is given at once."""
    make_module("strange_two")
    importlib.import_module("strange_two")
    seen = []
    when_loaded("strange_two", seen.append)
    assert seen == [sys.modules["strange_two"]]


def test_called_again(make_module):
    """A module that is deleted and imported anew is given again, for its classes are new."""
    make_module("strange_three")
    seen = []
    when_loaded("strange_three", seen.append)
    first = importlib.import_module("strange_three")
    del sys.modules["strange_three"]
    second = importlib.import_module("strange_three")
    assert seen == [first, second]
    assert first is not second


def test_several_functions(make_module):
    """Several functions are called in their order, for a module within a package as well."""
    make_module("strange_package.inner")
    seen = []
    when_loaded("strange_package.inner", lambda _: seen.append(1))
    when_loaded("strange_package.inner", lambda _: seen.append(2))
    importlib.import_module("strange_package")
    assert seen == []
    importlib.import_module("strange_package.inner")
    assert seen == [1, 2]


def test_the_module_is_as_it_would_be(make_module):
    """The module has its own loader, its source and its file; so has what only looks for it."""
    make_module("strange_four", "def f():\n    return 1\n")
    when_loaded("strange_four", lambda module: None)
    spec = importlib.util.find_spec("strange_four")
    assert spec.loader.get_source("strange_four").startswith("def f")
    module = importlib.import_module("strange_four")
    assert type(module.__loader__).__module__ == "_frozen_importlib_external"
    assert module.__spec__.loader is module.__loader__
    assert inspect.getsource(module.f) == "def f():\n    return 1\n"


def test_missing_module(make_module):
    """A module that is not installed is not found, as ever."""
    when_loaded("strange_missing", lambda module: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("strange_missing")


def test_module_that_fails(make_module):
    """A module that raises is not given to the function."""
    make_module("strange_five", "raise KeyError('mine')")
    seen = []
    when_loaded("strange_five", seen.append)
    with pytest.raises(KeyError, match="mine"):
        importlib.import_module("strange_five")
    assert seen == []


def test_function_that_raises(make_module):
    """What a function raises comes out of the import."""
    make_module("strange_six")

    def complain(module):
        raise ValueError("not like this")

    when_loaded("strange_six", complain)
    with pytest.raises(ValueError, match="not like this"):
        importlib.import_module("strange_six")


def test_one_finder(make_module):
    """However many modules are waited for, one finder is added."""
    finders = len(sys.meta_path)
    when_loaded("strange_seven", lambda module: None)
    when_loaded("strange_eight", lambda module: None)
    assert len(sys.meta_path) == finders + 1
