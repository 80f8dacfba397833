"""The vectors of msgpack/1 about calls on promises, and about calls that come home."""

from __future__ import annotations

from vectors.msgpack_case import Case, call, frame, graph_call, text

__all__ = ["CASES"]

MINE = [b"remote", 1]
BROKEN = (
    "call: broker.errors.BrokenPromise: the promised call returned a value that is not a reference"
)
PENDING, RELEASE = call(1, "later_thing", "a"), call(9, "release", "a")
HOME_LATER = graph_call(1, "later_back", text("a"), MINE)


def on(number: int, request: int, *step: int | str) -> bytes:
    """Return a call of the thing that a promise is."""
    return call(number, "add_one", number, target=[request, *step])


PROMISES = [
    Case("promise_call", "A call on a promise that waits, and on one that is known.",
         (PENDING + on(2, 1), RELEASE, on(3, 1))),
    Case("promise_step_int", "The second of a list.", (call(1, "thrice"), on(2, 1, 1))),
    Case("promise_step_text", "A key of a dict.", (call(1, "keyed"), on(2, 1, "thing"))),
    Case("promise_one_way", "A one-way call is sent with an answer, which is dropped.",
         (PENDING + on(2, 1), RELEASE)),
    Case("promise_in_graph_call", "The call has the expressions of its arguments.",
         (PENDING + graph_call(2, "add_one", 2, target=[1]), RELEASE)),
    Case("promise_argument", "A promise among arguments; a later call waits behind it.",
         (PENDING + call(2, "waiter") + graph_call(3, "is_thing", [b"promised", 1], target=[2])
          + call(4, "release", "a", target=1),)),
    Case("promise_argument_step", "An element among arguments.",
         (call(1, "keyed"), graph_call(2, "is_thing", [b"promised", 1, b"thing"]),
          call(3, "thrice"), graph_call(4, "is_thing", [b"promised", 3, 2]))),
    Case("promise_of_promise", "A chain.",
         (call(1, "waiter") + call(2, "waiter", target=[1]) + call(3, "thing", target=[2])
          + on(4, 3),)),
    Case("promise_fails", "The call on a promise has the failure of the promised call.",
         (call(1, "later_fail", "a") + on(2, 1), RELEASE),
         "call: vectors.Missing: not here"),
    Case("promise_is_a_value", "The result is no reference.",
         (call(1, "wait", "a") + on(2, 1), RELEASE), f"{BROKEN}; not run"),
    Case("promise_cancelled", "A waiting call is cancelled.",
         (PENDING + on(2, 1) + on(3, 1) + frame(11, 2),),
         "call: twisted.spread.pb.RemoteError: the method was cancelled"),
    Case("promise_order", "Calls start in their order.",
         (PENDING + b"".join(on(number, 1) for number in range(2, 6)), RELEASE)),
    Case("home_one", "A call whose target is an object of the client.",
         (HOME_LATER + on(2, 1), RELEASE)),
    Case("home_three", "Three of them.", (HOME_LATER + on(2, 1) + on(3, 1) + on(4, 1), RELEASE)),
    Case("home_of_promise_of_promise", "A call on the result of a call that came home.",
         (HOME_LATER + on(2, 1) + on(3, 2), RELEASE)),
    Case("home_crosses_answer", "A call on a promise whose answer the client has not read.",
         (graph_call(1, "echo", MINE) + on(2, 1),)),
    Case("home_one_way", "A one-way call comes home too, since it is sent with an answer.",
         (HOME_LATER + graph_call(2, "add_one", 2, target=[1]), RELEASE)),
    Case("login_anonymous_pipelined", "A call on the result of a login.",
         (call(1, "loginAnonymous", None) + call(2, "hello", target=[1]),),
         state="before login"),
    Case("call_promise_of_a_value", "The result, which has come, is no reference.",
         (call(1, "echo", 5), on(2, 1)), f"{BROKEN}; not run"),
    Case("call_promise_step_missing", "There is no such element.",
         (call(1, "thrice"), on(2, 1, 3)), f"{BROKEN}; not run"),
    Case("call_beyond_max_promised", "A fifth call, where four may wait.",
         (PENDING + b"".join(on(number, 1) for number in range(2, 7)),),
         "call: broker.errors.ServerBusy: 4 calls wait for promises (max_promised)"),
    Case("bad_promise_argument_own", "A promise of the call itself, among its arguments.",
         (graph_call(1, "echo", [b"promised", 1]),),
         "connection: promise of request 1, which has not been made"),
]  # fmt: skip

CASES = PROMISES
"""All of them, in the order of the file."""
