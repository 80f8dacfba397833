"""Published objects: what the peer says of one, what it publishes, and what is kept in a file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support.memory import BrokerPair

import jelly
from broker.core.policy import PUBLISHED, STRICT
from broker.flavors.copyable import register
from broker.flavors.publish import Publishable, RemotePublished, whenReady
from broker.flavors.referenceable import Root
from jelly import banana
from jelly.errors import DecodeError, InsecureJelly, MalformedJelly
from jelly.registry import defaults, setUnjellyableForClass


class Page(Publishable):
    """What is published; the test says what its state is."""

    def __init__(self, tag: str, state: Any):
        super().__init__("page")
        self.tag = tag
        self.state = state
        self.asked = 0

    def getTypeToCopy(self) -> str:
        """Be called as the receiving class is."""
        return f"{__name__}.{self.tag}"

    def getStateToPublish(self) -> Any:
        """Count."""
        self.asked += 1
        return self.state


@register
class Strict(RemotePublished):
    """A reader with declared fields."""

    title: str
    words: Any = ()

    def shout(self) -> str:
        """Be hidden by nothing."""
        return self.title.upper()


class Loose(RemotePublished):
    """A reader as published programs write it."""

    title = None
    directory = None

    def shout(self) -> str:
        """Be hidden by nothing."""
        return str(self.title).upper()


@pytest.fixture(autouse=True)
def known() -> Any:
    """Register the published reader for one test."""
    setUnjellyableForClass(f"{__name__}.Loose", Loose)
    yield
    del defaults.published.classes[f"{__name__}.Loose".encode()]


class Rack(Root):
    """Hands out one page."""

    def __init__(self, page: Page):
        self.page = page

    def remote_page(self) -> Page:
        """Return it."""
        return self.page


def fetched(page: Page, policy: Any = PUBLISHED) -> tuple[Any, list[Any]]:
    """Return what a page became at a reader, and what came of getting its state."""
    pair = BrokerPair(Rack(page), policy=policy)
    made = pair.call("page")
    outcome: list[Any] = []
    if isinstance(made, RemotePublished):
        made.callWhenActivated(outcome.append)
    return made, outcome


@pytest.mark.parametrize(
    ("tag", "policy"), [("Strict", STRICT), ("Strict", PUBLISHED), ("Loose", PUBLISHED)]
)
def test_a_published_object(tag: str, policy: Any) -> None:
    """The state arrives, and what the peer says of the object beside it."""
    page = Page(tag, {"title": "tea"})
    made, outcome = fetched(page, policy)
    assert outcome == [made]
    assert (made.title, made.publishedID, made.timestamp) == ("tea", "page", page.timestamp)
    assert made.shout() == "TEA"


@pytest.mark.parametrize("tag", ["Strict", "Loose"])
@pytest.mark.parametrize(
    "name", ["directory", "shout", "isActivated", "_listeners", "broker", "luid", "__class__"]
)
def test_what_a_published_state_may_not_set(
    tag: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No state that the peer publishes sets what the class defines, or what is ours."""
    made, outcome = fetched(Page(tag, {"title": "tea", name: str(tmp_path)}))
    assert outcome == []
    assert not made.isActivated
    assert made.directory is None
    assert callable(made.shout)
    with pytest.raises(InsecureJelly):
        made._put({"title": "tea", name: 1})


def test_undeclared_and_missing_fields() -> None:
    """A class with declared fields gets these, all of them and no others."""
    made, outcome = fetched(Page("Strict", {"title": "tea"}))
    assert outcome == [made]
    for state in ({"other": 1, "title": "tea"}, 5, {1: 2}):
        with pytest.raises(DecodeError):
            made._put(state)
    assert fetched(Page("Strict", {"words": ()}))[1] == []


def test_what_the_peer_says_first() -> None:
    """What a Publishable says of itself must come, and may not set what is ours."""
    said = {"remote": 1, "publishedID": 1, "perspective": 1, "service": 1, "timestamp": 1}
    for cls in (Strict, Loose):
        made = cls.__new__(cls)
        with pytest.raises(InsecureJelly):
            made.setCopyableState({**said, "directory": "/"})
        with pytest.raises(MalformedJelly, match=r"'timestamp' of .* is missing"):
            made.setCopyableState({name: 1 for name in said if name != "timestamp"})


@pytest.mark.parametrize("tag", ["Strict", "Loose"])
def test_a_kept_copy(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is kept in the directory that the class names, and read back once it is asked for."""
    monkeypatch.setattr(globals()[tag], "directory", str(tmp_path))
    page = Page(tag, {"title": "tea", "words": [1]})
    for _ in range(3):
        made, outcome = fetched(page)
        assert outcome == [made]
        assert (made.title, made.words) == ("tea", [1])
        made.seen_by = "the application"
    assert page.asked == 1
    assert len(list(tmp_path.iterdir())) == 1
    page.republish()
    fetched(page)
    assert page.asked == 2


def test_a_kept_copy_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file is checked as what a peer sends is; what does not fit is asked for again."""
    page = Page("Strict", {"title": "tea"})
    monkeypatch.setattr(Strict, "directory", str(tmp_path))
    fetched(page)
    (kept,) = tmp_path.iterdir()
    for state in ({"directory": "/", "title": "x"}, {"words": ()}, {"shout": 1, "title": "x"}):
        kept.write_bytes(banana.encode(jelly.jelly({**state, "timestamp": page.timestamp})))
        page.asked = 0
        with caplog.at_level(logging.WARNING, "broker.publish"):
            made, outcome = fetched(page)
        assert (page.asked, outcome, made.title) == (1, [made], "tea")
        assert made.directory == str(tmp_path)
        assert caplog.text.count("a kept copy is not used") == 1
        caplog.clear()


def test_when_ready() -> None:
    """``whenReady`` gives the object once its state is there."""
    pair = BrokerPair(Rack(Page("Strict", {"title": "tea"})))
    ready: list[Any] = []
    whenReady(pair.root.callRemote("page")).addCallback(ready.append)
    pair.exchange()
    assert [made.title for made in ready] == ["tea"]
