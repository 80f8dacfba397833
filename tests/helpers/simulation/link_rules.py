"""The rules for links and promises, which each history must obey; see `simulation.rules`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from simulation.history import Event
from simulation.story import Call, Rule, Story

__all__ = ["LINK_RULES"]

_LOST = ("not run", "may have run", "given up")


def once_runs_once(story: Story) -> Iterator[str]:
    """A call in ``broker.once`` runs at most once, on all servers together."""
    for call in story.calls.values():
        if call.kind == "once" and len(call.starts) > 1:
            yield f"{call} started at {', '.join(event.party for _, event in call.starts)}"


def once_survives_cuts(story: Story) -> Iterator[str]:
    """A call in ``broker.once`` has an outcome unless its server ends, or it comes too late."""
    ended = [place for place, _ in story.by_kind["gone"]]
    closed = {event.party: place for place, event in story.by_kind["closes"]}
    keeps = min([event.detail for _, event in story.by_kind["keeps"]], default=0)
    for call in story.calls.values():
        if call.kind != "once" or call.made is None:
            continue
        begun, made = call.made
        for place, event in call.outcomes:
            kind, what = event.detail
            if kind == "not run":
                # The server keeps no replies.
                if what != "ConfigError":
                    yield f"{call} ended as not run with {what}"
            elif kind == "may have run":
                has_gone = any(begun < gone < place for gone in ended)
                has_gone = has_gone or _has_moved(story, call, place)
                is_late = event.when - made.when >= keeps
                if not has_gone and not is_late and closed.get(call.party, place) >= place:
                    yield f"{call} ended as may have run, and no server has ended"
            elif kind == "result lost":
                yield from _wrongly_lost(story, call, place)


def _has_moved(story: Story, call: Call, place: int) -> bool:
    """Return whether the link has connected to more than one server while the call was open."""
    assert call.made is not None
    servers: list[str] = []
    for at, event in story.by_kind["connects"]:
        if event.party.partition(".")[0] == call.party and at < place:
            if at < call.made[0]:
                servers.clear()
            servers.append(event.detail)
    return len(set(servers)) > 1


def _wrongly_lost(story: Story, call: Call, place: int) -> Iterator[str]:
    results = [str(event.detail[1]) for before, event in call.finishes if before < place]
    if not results:
        yield f"the result of {call} is lost, and its method was not over"
    elif "item" not in results[0] and "70000 bytes" not in results[0]:
        yield f"the result of {call} is lost, which can be repeated: {results[0]:.100}"
    else:
        assert call.made is not None
        faults = [at for at, event in story.by_kind["fault"] if call.made[0] < at < place]
        if not faults:
            yield f"the result of {call} is lost, and no connection was"


def links_make_calls(story: Story) -> Iterator[str]:
    """A call of a link that has not run is made on the next connection, and does not fail."""
    closed = {event.party: place for place, event in story.by_kind["closes"]}
    for call in story.calls.values():
        if call.kind != "linked":
            continue
        for place, event in call.outcomes:
            kind, what = event.detail
            is_refused = kind == "refused" and what.endswith("ServerDraining")
            if (kind == "not run" or is_refused) and closed.get(call.party, place) >= place:
                yield f"{call} ended as {kind} with {what}"


def links_come_back(story: Story) -> Iterator[str]:
    """A link is connected again within its bound after a server is back and nothing harms it."""
    for begun, link in story.by_kind["link"]:
        servers: set[str] = set()
        since, is_up, on = link.when, False, ""
        for event in story.events[begun:]:
            own = event.party.partition(".")[0] == link.party
            if not is_up and servers and event.when > since + link.detail:
                yield f"{link.party} was not connected from {since:.4f} to {event.when:.4f} s"
                break
            if event.kind == "closes" and own:
                break
            if event.kind == "serves":
                if not servers:
                    since = event.when
                servers.add(event.party)
            elif event.kind in ("gone", "unreachable"):
                servers.discard(event.party)
                since = event.when
            elif event.kind == "fault" and own:
                since = event.when
            elif event.kind == "up" and own:
                is_up, on = True, event.party
            elif event.kind == "lost" and event.party == on:
                is_up, since = False, event.when


def recipes_are_made_once(story: Story) -> Iterator[str]:
    """On each connection each recipe is made at most once, and the task runs once; at rest all."""
    made: dict[str, Counter[str]] = defaultdict(Counter)
    for _, event in story.by_kind["recipe"]:
        made[event.party[1:]][event.detail] += 1
    for number, recipes in made.items():
        for recipe, times in recipes.items():
            if times > 1:
                yield f"recipe {recipe} was made {times} times on connection {number}"
    ups = Counter(event.party for _, event in story.by_kind["up"])
    for party, times in ups.items():
        if times > 1:
            yield f"the task ran {times} times on connection {party[1:]}"
    for place, rest in story.by_kind["rest"]:
        before = [event for at, event in story.by_kind["up"] if at < place]
        own = [each.party for each in before if each.party.partition(".")[0] == rest.party]
        if not own:
            yield f"{rest.party} was never connected"
            continue
        for recipe in rest.detail:
            if not made[own[-1][1:]][recipe]:
                yield f"recipe {recipe} was not made on connection {own[-1][1:]}"


def promised_calls_follow(story: Story) -> Iterator[str]:
    """A call on a promise starts after the promised method has returned; else it never does."""
    for call in story.calls.values():
        for number in call.sources:
            source = story.calls[number]
            for place, _ in call.starts:
                finishes = [event for at, event in source.finishes if at < place]
                if not finishes:
                    yield f"{call} started before {source} was over"
                elif finishes[0].detail[0] != "returned":
                    yield f"{call} started, and {source} has {finishes[0].detail[0]}"


def promised_calls_fail_alike(story: Story) -> Iterator[str]:
    """A call on a promise that did not run fails as the promised call, or as a lost one."""
    for call in story.calls.values():
        if not call.sources or call.starts:
            continue
        due = {
            _short(event) for number in _all_sources(story, call) for event in _ends(story, number)
        }
        for _, event in call.outcomes:
            kind, what = event.detail
            is_ours = kind in _LOST or (kind == "refused" and what.endswith("ServerDraining"))
            if kind == "refused" and what == "BrokenPromise":
                is_ours = any(_has_returned(story.calls[number]) for number in call.sources)
            if not is_ours and _short(event) not in due:
                yield f"{call} ended as {kind} {what}, and its sources as {sorted(due)}"


def _short(event: Event) -> tuple[str, str]:
    """Return how a call ended; the name of an error without its module, which one end may know."""
    kind, what = event.detail
    return kind, what if kind == "answer" else what.rpartition(".")[2]


def _has_returned(call: Call) -> bool:
    return any(event.detail[0] == "returned" for _, event in call.finishes)


def _all_sources(story: Story, call: Call) -> set[int]:
    found: set[int] = set()
    stack = list(call.sources)
    while stack:
        number = stack.pop()
        if number not in found:
            found.add(number)
            stack += story.calls[number].sources
    return found


def _ends(story: Story, number: int) -> list[Event]:
    return [event for _, event in story.calls[number].outcomes]


LINK_RULES: tuple[Rule, ...] = (
    once_runs_once,
    once_survives_cuts,
    links_make_calls,
    links_come_back,
    recipes_are_made_once,
    promised_calls_follow,
    promised_calls_fail_alike,
)
