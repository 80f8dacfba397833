"""The vectors of msgpack/1 that are not recorded yet, and why."""

from __future__ import annotations

__all__ = ["LATER"]

LATER: dict[str, str] = {
    "promises are not called yet (the term 'promised' is 0)": """
        promise_call promise_step_int promise_step_text promise_one_way promise_in_graph_call
        promise_argument promise_argument_step promise_of_promise promise_fails promise_is_a_value
        promise_cancelled promise_order home_one home_three home_of_promise_of_promise
        home_crosses_answer home_one_way login_password_pipelined login_scram_pipelined
        login_refused_pipelined call_promise_in_mind call_promise_of_a_value
        call_promise_step_missing call_beyond_max_promised bad_home_of_remote
    """,
    "streams are not opened yet (the term 'streams' is 0), so each frame ends the connection": """
        stream_result stream_size stream_argument stream_plain_items stream_graph_items
        stream_pieces stream_credit stream_credit_meta stream_before_terms stream_ends stream_fails
        stream_stopped stream_two stream_items_cross_stop stream_credit_crosses_end
        stream_stop_crosses_end stream_item_larger_than_window call_stream_in_mind bad_items_none
        bad_item_graph_no_list bad_item_seven_deep bad_items_after_end bad_end_twice
        bad_stop_of_own bad_items_beyond_credit bad_bytes_beyond_credit
    """,
    "replies are not kept for calls with 'once' yet": """
        once_first once_again_running once_again_done once_other_method once_result_lost
    """,
    "caches are not resumed yet": "cache_resumed cache_resume_too_old",
}
"""Names of vectors, by the reason why there is no such vector."""
