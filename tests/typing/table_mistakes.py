"""Mistakes with tables, one a line; a type checker finds each."""

import broker


class Book(broker.Table[str, float]):
    """A table."""


def trade(book: Book, view: broker.TableView[str, float]) -> None:
    """Make mistakes."""
    book["ACME"] = "dear"  # wrong: not a float
    book[1] = 2.0  # wrong: not a str
    view["ACME"] = 2.0  # wrong: read only
    price: str = view["ACME"]  # wrong: a float
    place: str = view.position  # wrong: a Position
    print(price, place)
