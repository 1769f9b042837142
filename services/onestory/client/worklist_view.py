"""A worklist as a table on the terminal: what is overdue is red."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from onestory.client.report import plain

Row = Mapping[str, Any]
_PRIORITIES = ("stat", "asap", "urgent", "routine")
_COLUMNS = ("priority", "due", "status", "NHS number", "what for", "from", "with", "claimed by")
_WHOLE = {"priority", "due", "NHS number"}
_WIDE = 110
_LEFT_OUT = {"from"}
"""Of a narrow terminal: until somebody accepts, it is with whom it is from."""


class Board:
    """The rows of a list as they are known, in order of urgency."""

    def __init__(self, title: str, now: Callable[[], datetime] | None = None) -> None:
        self._title = title
        self._now = now or (lambda: datetime.now(UTC))
        self._rows: dict[str, Row] = {}
        self._late_s = 0

    @property
    def rows(self) -> list[Row]:
        """By priority, and by what is due first."""
        return sorted(self._rows.values(), key=_order)

    def load(self, page: Mapping[str, Any]) -> None:
        """The whole list anew."""
        self._rows = {row["referral"]: row for row in page["rows"]}

    def take(self, event: str, data: Mapping[str, Any]) -> None:
        """What an event says of one row."""
        if event == "changed":
            self._rows[data["referral"]] = data
        elif event == "gone":
            self._rows.pop(data["referral"], None)
        elif event == "late":
            self._late_s = data["seconds"]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        now, rows = self._now(), self.rows
        overdue = sum(_due(row) <= now for row in rows)
        unclaimed = sum(row["claimedBy"] is None for row in rows)
        title = f"{plain(self._title)}: {len(rows):,} open, {overdue:,} overdue, {unclaimed:,} unclaimed"
        if self._late_s:
            title += f". Changes do not arrive: this may be {self._late_s:,} s old"
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=False)
        columns = [name for name in _COLUMNS if options.max_width >= _WIDE or name not in _LEFT_OUT]
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
        for row in rows:
            cells = dict(zip(_COLUMNS, _cells(row, now), strict=True))
            # What somebody wrote is shown as it is: no text of theirs is markup.
            shown = [Text(plain(cells[column])) for column in columns]
            table.add_row(*shown, style="bold red" if _due(row) <= now else "")
        yield table


def _cells(row: Row, now: datetime) -> tuple[str, ...]:
    what = ": ".join(filter(None, (row["code"], row["reason"])))
    state = f"{row['status']}{' (escalated)' if row['escalatedAt'] else ''}"
    claimed = row["claimedBy"]
    return (
        row["priority"],
        _until(_due(row) - now),
        f"{'> ' if row['yourTurn'] else ''}{state}",
        row["person"]["value"],
        what if row["kind"] == "referral" else f"[{row['kind']}] {what}",
        _party(row["requester"]),
        _party(row["holder"]),
        (claimed["name"] or claimed["user"]) if claimed else "",
    )


def _until(left: timedelta) -> str:
    """How long, in its two greatest units."""
    minutes = int(abs(left).total_seconds() // 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    said = f"{days} d {hours} h" if days else f"{hours} h {rest} min" if hours else f"{rest} min"
    return f"{said} over" if left <= timedelta(0) else said


def _party(party: Mapping[str, str] | None) -> str:
    if party is None:
        return ""
    return party["teamName"] or party["organisationName"] or party["organisation"]


def _due(row: Row) -> datetime:
    return datetime.fromisoformat(row["dueAt"])


def _order(row: Row) -> tuple[int, datetime, str]:
    return _PRIORITIES.index(row["priority"]), _due(row), row["referral"]
