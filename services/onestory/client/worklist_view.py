"""Shows a worklist as a table on the terminal. Overdue rows are red."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from onestory.shared.display import printable_text

Row = Mapping[str, Any]
_PRIORITIES = ("stat", "asap", "urgent", "routine")
_COLUMNS = ("priority", "due", "status", "NHS number", "what for", "from", "with", "claimed by")
_NO_WRAP = {"priority", "due", "NHS number"}
_WIDE_TERMINAL = 110
_ONLY_IF_WIDE = {"from"}
"""Until a team accepts, the holder is the requester, so a narrow terminal shows the holder only."""


class WorklistTable:
    """The rows of a worklist, as read and then changed by events. `rich` renders it."""

    def __init__(self, title: str, now: Callable[[], datetime] | None = None) -> None:
        self._title = title
        self._now = now or (lambda: datetime.now(UTC))
        self._rows: dict[str, Row] = {}
        self._late_s = 0

    @property
    def rows(self) -> list[Row]:
        """Return the rows by priority, then by due time."""
        return sorted(self._rows.values(), key=_sort_key)

    def load(self, page: Mapping[str, Any]) -> None:
        """Replace all rows by those of a page."""
        self._rows = {row["referral"]: row for row in page["rows"]}

    def apply(self, event: str, data: Mapping[str, Any]) -> None:
        """Apply an event: `changed` or `gone` for one row, `late` for the age of the list in seconds."""
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
        title = f"{printable_text(self._title)}: {len(rows):,} open, {overdue:,} overdue, {unclaimed:,} unclaimed"
        if self._late_s:
            title += f". No changes arrive: this list may be {self._late_s:,} s old"
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=False)
        is_wide = options.max_width >= _WIDE_TERMINAL
        columns = [name for name in _COLUMNS if is_wide or name not in _ONLY_IF_WIDE]
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column in _NO_WRAP)
        for row in rows:
            cells = dict(zip(_COLUMNS, _cells(row, now), strict=True))
            # `Text` shows free text as it is: rich would read markup in a plain string.
            texts = [Text(printable_text(cells[column])) for column in columns]
            table.add_row(*texts, style="bold red" if _due(row) <= now else "")
        yield table


def _cells(row: Row, now: datetime) -> tuple[str, ...]:
    what_for = ": ".join(filter(None, (row["code"], row["reason"])))
    status = f"{row['status']}{' (escalated)' if row['escalatedAt'] else ''}"
    claim = row["claimedBy"]
    return (
        row["priority"],
        _time_left(_due(row) - now),
        f"{'> ' if row['yourTurn'] else ''}{status}",
        row["person"]["value"],
        what_for if row["kind"] == "referral" else f"[{row['kind']}] {what_for}",
        _party(row["requester"]),
        _party(row["holder"]),
        (claim["name"] or claim["user"]) if claim else "",
    )


def _time_left(left: timedelta) -> str:
    """Return a time in its two greatest units, such as `1 d 4 h`, with `over` when it is not positive."""
    minutes = int(abs(left).total_seconds() // 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    text = f"{days} d {hours} h" if days else f"{hours} h {rest} min" if hours else f"{rest} min"
    return f"{text} over" if left <= timedelta(0) else text


def _party(party: Mapping[str, str] | None) -> str:
    if party is None:
        return ""
    return party["teamName"] or party["organisationName"] or party["organisation"]


def _due(row: Row) -> datetime:
    return datetime.fromisoformat(row["dueAt"])


def _sort_key(row: Row) -> tuple[int, datetime, str]:
    return _PRIORITIES.index(row["priority"]), _due(row), row["referral"]
