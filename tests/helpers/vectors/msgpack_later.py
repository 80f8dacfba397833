"""The vectors of msgpack/1 that are not recorded yet, and why."""

from __future__ import annotations

__all__ = ["LATER"]

LATER: dict[str, str] = {
    "the server of the vectors has no passwords": """
        login_password_pipelined login_scram_pipelined login_refused_pipelined
    """,
    "the calls of the server on promises are not recorded": "bad_home_of_remote",
    "caches are not resumed yet": "cache_resumed cache_resume_too_old",
}
"""Names of vectors, by the reason why there is no such vector."""
