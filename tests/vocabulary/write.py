"""Write the page of the vocabulary, and say which differences have no reason: `python write.py`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Walk, write, and return 1 where a reason is missing, or is for nothing."""
    # Not there by itself where PYTHONSAFEPATH is set.
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    page = importlib.import_module("vocabulary_page")
    walks = importlib.import_module("walker").walk_all()
    page.PAGE.write_text(page.page_of(walks), "utf-8")
    missing = [f"no reason: {' | '.join(found)}" for found in page.unexplained(walks)]
    missing += [f"no difference: {pattern}" for pattern in page.stale(walks)]
    missing += [f"no home and no reason: {name}" for name in page.homeless()]
    missing += [f"a home, and a reason too: {name}" for name in page.stale_homes()]
    field = importlib.import_module("field")
    print(f"in the field: {field.share(field.imports())}")
    print("\n".join(missing) or f"wrote {page.PAGE.name}")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
