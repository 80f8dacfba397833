"""Keeps the spans of a test in memory, by OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from broker.opentelemetry import Tracing

__all__ = ["Kept"]


class Kept:
    """Spans that have ended, with the `Tracing` that makes them.

    Args:
        keywords: of the TracerProvider, such as ``sampler``.
    """

    def __init__(self, **keywords: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**keywords)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(self.provider)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """The spans that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[tuple[str, str]]:
        """The kind and the name of each."""
        return [(span.kind.name, span.name) for span in self.spans]

    def one(self, name: str, kind: str | None = None) -> ReadableSpan:
        """Return the only span of a name, and of a kind if it is given."""
        [found] = [s for s in self.spans if s.name == name and kind in (None, s.kind.name)]
        return found
