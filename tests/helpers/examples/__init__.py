"""The folder ``examples`` beside the tests, so that tests can import ``examples.chat``."""

from __future__ import annotations

import os
from pathlib import Path

__path__ = [os.fspath(Path(__file__).parents[3] / "examples")]
