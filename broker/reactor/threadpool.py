"""Published name of `twisted.python.threadpool`: threads that run functions for a program."""

from __future__ import annotations

from broker.reactor.engine.thread_pool import ThreadPool

__all__ = ["ThreadPool"]
