"""The vectors of msgpack/1 that are not recorded yet, and why."""

from __future__ import annotations

__all__ = ["LATER"]

LATER: dict[str, str] = {
    "promises are not called yet (the term 'promised' is 0)": """
        promise_call promise_step_int promise_step_text promise_one_way promise_in_graph_call
        promise_argument promise_argument_step promise_of_promise promise_fails promise_is_a_value
        promise_cancelled promise_order home_one home_three home_of_promise_of_promise
        home_crosses_answer home_one_way login_password_pipelined login_scram_pipelined
        login_refused_pipelined call_promise_of_a_value
        call_promise_step_missing call_beyond_max_promised bad_home_of_remote
    """,
    "caches are not resumed yet": "cache_resumed cache_resume_too_old",
}
"""Names of vectors, by the reason why there is no such vector."""
