"""Record the golden vectors from the installed Twisted: ``python -m vectors.record [folder]``.

What Twisted does not have, logins in ``login.json`` and the dialect ``msgpack.json``, is recorded
from this library.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

import twisted

from vectors.notation import FOLDER, dump

FILES = {
    "banana": "record_banana",
    "banana_decoder": "record_banana",
    "jelly": "record_jelly",
    "jelly_errors": "record_jelly",
    "messages": "record_messages",
    "login": "record_login",
    "msgpack": "record_msgpack",
}
"""Each file, and the module whose function ``record_<file>`` gives its content."""


def main(folder: Path) -> None:
    """Write all files."""
    warnings.simplefilter("ignore")
    about = {"twisted": twisted.__version__, "python": "{}.{}".format(*sys.version_info)}
    (folder / "about.json").write_text(json.dumps(about) + "\n", "utf-8")
    for name, module in FILES.items():
        dump(
            getattr(importlib.import_module(f"vectors.{module}"), f"record_{name}")(),
            folder / f"{name}.json",
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
