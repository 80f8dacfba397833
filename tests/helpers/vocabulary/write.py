"""Write the page of the vocabulary, and say which differences have no reason: `make vocabulary`."""

from __future__ import annotations

import sys

from vocabulary import field
from vocabulary import vocabulary_page as page
from vocabulary.walker import walk_all


def main() -> int:
    """Walk, write, and return 1 where a reason is missing, or is for nothing."""
    walks = walk_all()
    page.PAGE.write_text(page.page_of(walks), "utf-8")
    missing = [f"no reason: {' | '.join(found)}" for found in page.unexplained(walks)]
    missing += [f"no difference: {pattern}" for pattern in page.stale(walks)]
    missing += [f"absent without a reason: {name}" for name in page.unexplained_imports()]
    missing += [f"here, and has a reason too: {name}" for name in page.stale_instead()]
    print(f"in the field: {field.share(field.imports())}")
    print("\n".join(missing) or f"wrote {page.PAGE.name}")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
