"""The folders of the project that the helpers read and write."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DOCS", "HELPERS", "ROOT", "TESTS"]

HELPERS = Path(__file__).resolve().parents[1]
"""The packages of the helpers; the only folder of the tests on the path for imports."""
TESTS = HELPERS.parent
ROOT = TESTS.parent
DOCS = ROOT / "docs"
