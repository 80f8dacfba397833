"""The screen of ``pb top``: totals, charts, a table of connections, and one connection."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import to_builtins
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Sparkline, Static

from broker.commands.wording import shown
from broker.errors import Disconnected, Error
from broker.inspection.contract import ConnectionSnapshot, Inspection, ServerSnapshot

__all__ = ["Top"]

_SECONDS = 120

# The columns: title, field, and whether it is a number.
COLUMNS = (
    ("#", "number", True),
    ("address", "address", False),
    ("user", "user", False),
    ("dialect", "dialect", False),
    ("state", "state", False),
    ("age", "age", True),
    ("calls/s", "calls", True),
    ("in B/s", "rate_in", True),
    ("out B/s", "rate_out", True),
    ("running", "running", True),
    ("refs", "exports", True),
    ("unsent", "unsent", True),
    ("ping ms", "round_trip", True),
)
_STYLES = {"slow": "bold red", "held": "bold red", "closing": "dim", "connecting": "dim"}


class Question(ModalScreen[bool]):
    """Asks whether to do something."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]
    CSS = """
    Question { align: center middle }
    Question Static { width: auto; padding: 1 3; border: round $warning; background: $surface }
    """

    def __init__(self, text: str):
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Make the box."""
        yield Static(Text(f"{self._text}\n\ny yes   n no"))

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


class Details(ModalScreen[None]):
    """Shows one connection, live."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss_it", "back")]
    CSS = """
    Details { align: center middle }
    Details VerticalScroll {
        width: 90%; height: 90%; padding: 0 1; border: round $primary; background: $surface
    }
    """

    def __init__(self, inspection: Inspection, number: int, every: float):
        super().__init__()
        self._inspection = inspection
        self._number = number
        self._every = every

    def compose(self) -> ComposeResult:
        """Make the box."""
        with VerticalScroll():
            yield Static(id="details")
        yield Footer()

    async def on_mount(self) -> None:
        """Look now, and then regularly."""
        self.set_interval(self._every, self.look)
        await self.look()

    async def look(self) -> None:
        """Show the connection as it is."""
        try:
            found = await self._inspection.connection(self._number)
        except Disconnected:
            return
        except Error as exc:
            self.query_one("#details", Static).update(Text(shown(str(exc))))
            return
        self.query_one("#details", Static).update(details_of(found))

    def action_dismiss_it(self) -> None:
        """Go back."""
        self.dismiss(None)


class Top(App[None]):
    """The screen.

    Args:
        inspection: of the server.
        address: the title.
        every: seconds between two looks.

    Attributes:
        lost: the error that has ended it, or None.
    """

    TITLE = "pb top"
    CSS = """
    #head { height: 4; padding: 0 1 }
    #charts { height: 4 }
    #charts Vertical { width: 1fr; padding: 0 1 }
    #charts Static { height: 1; color: $text-muted }
    Sparkline { height: 3 }
    DataTable { height: 1fr }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("s", "sort", "next column"),
        Binding("r", "reverse", "reverse"),
        Binding("p", "pause", "pause"),
        Binding("k", "kick", "kick"),
        Binding("enter", "open", "open", show=True),
    ]

    def __init__(self, inspection: Inspection, address: str, every: float = 1.0):
        super().__init__()
        self._inspection = inspection
        self._address = address
        self._every = every
        self._sorted_by = 0
        self._is_reversed = False
        self._is_paused = False
        self._rows: list[ConnectionSnapshot] = []
        self.lost: Exception | None = None

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(id="head")
        with Horizontal(id="charts"):
            for name, title in (("calls", "calls/s"), ("lag", "loop late, ms")):
                with Vertical():
                    yield Static(title, id=f"{name}_title")
                    yield Sparkline([0.0], id=name)
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer()

    async def on_mount(self) -> None:
        """Make the columns, look now, and then regularly."""
        self._title_columns()
        self.set_interval(self._every, self.look)
        await self.look()

    async def look(self) -> None:
        """Show the server as it is."""
        if self._is_paused:
            return
        try:
            server = await self._inspection.server(history=True)
            self._rows = await self._inspection.connections(order="number", most=1000)
        except Disconnected as exc:
            self.lost = exc
            self.exit()
            return
        if not self.query("#head"):
            # The screen was closed meanwhile.
            return
        self.query_one("#head", Static).update(head_of(server, self._address))
        history = server.history[-_SECONDS:]
        for name, values in (
            ("calls", [each.calls for each in history]),
            ("lag", [each.lag * 1000 for each in history]),
        ):
            self.query_one(f"#{name}", Sparkline).data = values or [0.0]
            title = {"calls": "calls/s", "lag": "loop late, ms"}[name]
            most = max(values, default=0.0)
            self.query_one(f"#{name}_title", Static).update(f"{title}   most {most:,.1f}")
        self._show_rows()

    def _title_columns(self) -> None:
        table: DataTable[Text] = self.query_one(DataTable)
        table.clear(columns=True)
        for index, (title, _, is_number) in enumerate(COLUMNS):
            mark = " ▾" if index == self._sorted_by else ""
            table.add_column(Text(title + mark, justify="right" if is_number else "left"))

    def _show_rows(self) -> None:
        table: DataTable[Text] = self.query_one(DataTable)
        kept, scrolled = self._chosen, table.scroll_y
        table.clear()
        name, is_number = COLUMNS[self._sorted_by][1:]
        # Text and the number have the least first, other numbers the largest.
        is_down = is_number and name != "number"
        rows = sorted(
            self._rows, key=lambda row: _place(row, name), reverse=is_down != self._is_reversed
        )
        for row in rows:
            style = _STYLES.get(row.state, "")
            table.add_row(*(_cell(row, column, style) for column in COLUMNS), key=str(row.number))
        if kept is not None and any(row.number == kept for row in rows):
            table.move_cursor(row=table.get_row_index(str(kept)), animate=False)
            table.scroll_to(y=scrolled, animate=False)

    @property
    def _chosen(self) -> int | None:
        """The number of the connection under the cursor."""
        table: DataTable[Text] = self.query_one(DataTable)
        if not table.row_count:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return None if key is None else int(key)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort_by((self._sorted_by + 1) % len(COLUMNS))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sort by the column whose title was clicked."""
        self._sort_by(event.column_index)

    def _sort_by(self, index: int) -> None:
        self._is_reversed = index == self._sorted_by and not self._is_reversed
        self._sorted_by = index
        self._title_columns()
        self._show_rows()

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._is_reversed = not self._is_reversed
        self._show_rows()

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self._is_paused = not self._is_paused
        self.sub_title = "paused" if self._is_paused else ""
        self.query_one("#head", Static).set_class(self._is_paused, "paused")
        if self._is_paused:
            self.notify("paused: p goes on")

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the connection of a row."""
        self.action_open()

    def action_open(self) -> None:
        """Show the connection under the cursor."""
        if self._chosen is not None:
            self.push_screen(Details(self._inspection, self._chosen, self._every))

    def action_kick(self) -> None:
        """End the connection under the cursor, after a question."""
        number = self._chosen
        if number is None:
            return
        row = next(each for each in self._rows if each.number == number)
        who = shown(f"{row.address} {row.user or ''}".strip())

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self.run_worker(self._kick(number))

        self.push_screen(Question(f"End connection {number} of {who}?"), answered)

    async def _kick(self, number: int) -> None:
        try:
            count = await self._inspection.kick(number=number)
        except Error as exc:
            self.notify(shown(str(exc)), severity="error", markup=False)
            return
        self.notify(f"{count} connection{'' if count == 1 else 's'} ended")
        await self.look()


def head_of(server: ServerSnapshot, address: str) -> Text:
    """Return the lines of totals."""
    style = "bold green" if server.state == "serving" else "bold red"
    memory = "" if server.memory is None else f"   {server.memory / 2**20:.0f} MiB"
    count = len(server.processes)
    processes = f"{count} processes of {server.pid}" if count else f"process {server.pid}"
    limits = ", ".join(f"{name} {count}" for name, count in sorted(server.limits.items()))
    red = "bold red" if server.slow + server.held else ""
    return Text.assemble(
        (shown(" ".join(server.addresses) or address), "bold"),
        "   ",
        (shown(server.state), style),
        f"   up {_age(server.uptime)}   {processes}{memory}\n",
        (f"{server.open:,}", "bold"),
        f" open of {server.accepted:,}   ",
        (f"{server.slow} slow   {server.held} held", red),
        f"   {server.running:,} calls running   {_size(server.unsent)} unsent\n",
        f"{server.calls:,.0f} calls/s   {_size(server.bytes_in)}/s in   {_size(server.bytes_out)}/s"
        f" out   loop late {server.lag * 1000:.1f} ms, most {server.largest_lag * 1000:.1f} ms\n",
        shown(f"refused: {limits or 'nothing'}"),
    )


def details_of(row: ConnectionSnapshot) -> Text:
    """Return the lines of one connection."""
    text = Text()
    for name, value in to_builtins(row).items():
        told = _lines(value) if isinstance(value, list | dict) else [_plain(name, value)]
        text.append(f"{name:>18} ", "dim")
        text.append(shown(told[0]) if told else "-")
        for more in told[1:]:
            text.append(f"\n{'':>19}{shown(more)}")
        text.append("\n")
    return text


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{count:>7,} {name}" for name, count in value.items()]
    return [
        "  ".join(f"{name} {_plain(name, each)}" for name, each in entry.items()) for entry in value
    ]


def _cell(row: ConnectionSnapshot, column: tuple[str, str, bool], style: str) -> Text:
    _, name, is_number = column
    told = shown(_plain(name, getattr(row, name)), 60)
    return Text(told, style=style, justify="right" if is_number else "left")


def _plain(name: str, value: Any) -> str:
    """Return a value as text, in the unit of its column."""
    if value is None or value == "":
        return "-"
    if name in ("age", "idle", "slow_for"):
        return _age(value)
    if name == "round_trip":
        return f"{value * 1000:.1f}"
    if name in ("rate_in", "rate_out", "unsent", "bytes_in", "bytes_out", "unsent_in_kernel"):
        return _size(value)
    if isinstance(value, float):
        return f"{value:,.1f}" if value else "0"
    return f"{value:,}" if type(value) is int else str(value)


def _age(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 360_000 else f"{seconds / 86_400:.0f} d"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _place(row: ConnectionSnapshot, name: str) -> Any:
    value = getattr(row, name)
    if isinstance(value, int | float):
        return value
    return -1 if value is None and name == "round_trip" else str(value or "")
