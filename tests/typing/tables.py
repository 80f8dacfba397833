"""A user's program with tables; a type checker finds nothing wrong."""

import broker


class Book(broker.Table[str, float], name="feed.Book"):
    """A table with a name."""

    history = broker.History(most=10)


class BookView(broker.TableView[str, float], name="feed.Book"):
    """Its view."""


class Board(broker.Resumable):
    """An object that numbers its changes."""

    history = broker.History(most=1000, seconds=None, size=16_777_216)

    def __init__(self) -> None:
        self.pieces: dict[str, str] = {}

    def getStateToCopy(self) -> dict[str, object]:
        """Return the pieces."""
        return {"pieces": self.pieces}

    def move(self, a: str, b: str) -> None:
        """Move one."""
        self.pieces[b] = self.pieces.pop(a)
        self.change("moved", a, b)


def trade(book: Book) -> float:
    """Change a table."""
    book["ACME"] = 41.5
    with book.batch():
        book.update({"a": 1.0})
        book.update(b=2.0)
        del book["a"]
    return book["ACME"] + book.get("b", 0.0)


async def follow(view: broker.TableView[str, float]) -> float:
    """Read a view."""
    place: broker.Position = view.position
    total = float(place.offset) if view.is_current else 0.0
    async for key, value in view.changes():
        if value is broker.GONE:
            print(key.upper())
        else:
            total += value
    return total + sum(view.values())
