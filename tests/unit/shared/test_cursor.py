"""Cursors of all lists: cursors from earlier `next` links are read, and any other text is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from onestory.record.search.sorting import (
    EntryCursor,
    HistoryCursor,
    SortCursor,
    parse_entry_cursor,
    parse_history_cursor,
    parse_sort_cursor,
)
from onestory.referral.worklist.domain import Sort, SortKey, WorklistCursor, parse_worklist_cursor
from onestory.shared.errors import Malformed
from onestory.shared.http.cursor import TimeCursor, parse_time_cursor

AT = datetime(2026, 5, 1, 9, 30, 0, 123456, tzinfo=UTC)
BEFORE = datetime(2026, 4, 1, 8, tzinfo=UTC)
ID = f"{'a' * 26}-{'b' * 26}"
PARAMETERS = {"priority": "stat", "": "/worklists/teams/nurses"}


def parse_sorted(text: str) -> SortCursor | None:
    return parse_sort_cursor(text, 3)


def parse_worklist(text: str) -> WorklistCursor:
    return parse_worklist_cursor(text, PARAMETERS, Sort.URGENCY)


PARSERS: list[Callable[[str], Any]] = [
    parse_entry_cursor,
    parse_sorted,
    parse_history_cursor,
    parse_time_cursor,
    parse_worklist,
]
# Earlier versions gave out these cursors. A client may hold a `next` link while the server is updated.
GIVEN_OUT = [
    (
        parse_entry_cursor,
        EntryCursor("Condition", ID),
        "Q29uZGl0aW9uL2FhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhLWJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJi",
    ),
    (
        parse_sorted,
        SortCursor(("2026-01-01", None, "é"), "Observation", ID, AT),
        "W1siMjAyNi0wMS0wMSIsbnVsbCwiw6kiXSwiT2JzZXJ2YXRpb24iLCJhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYS1iYmJiYmJiYmJiYmJi"
        "YmJiYmJiYmJiYmJiYiIsIjIwMjYtMDUtMDFUMDk6MzA6MDAuMTIzNDU2KzAwOjAwIl0",
    ),
    (
        parse_history_cursor,
        HistoryCursor(AT, 77, ID),
        "WyIyMDI2LTA1LTAxVDA5OjMwOjAwLjEyMzQ1NiswMDowMCIsNzcsImFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhLWJiYmJiYmJiYmJiYmJi"
        "YmJiYmJiYmJiYmJiIl0",
    ),
    (
        parse_time_cursor,
        TimeCursor(AT, BEFORE, ID),
        "WyIyMDI2LTA1LTAxVDA5OjMwOjAwLjEyMzQ1NiswMDowMCIsIjIwMjYtMDQtMDFUMDg6MDA6MDArMDA6MDAiLCJhYWFhYWFhYWFhYWFhYWFh"
        "YWFhYWFhYWFhYS1iYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYiJd",
    ),
    (
        parse_worklist,
        WorklistCursor(AT, "10:10:", "20:20:", SortKey((2, BEFORE), ID)),
        "WyI4OWUyMmVjNmRiYWQyZDZkIiwiMjAyNi0wNS0wMVQwOTozMDowMC4xMjM0NTYrMDA6MDAiLCIxMDoxMDoiLCIyMDoyMDoiLFtbMiwiMjAy"
        "Ni0wNC0wMVQwODowMDowMCswMDowMCJdLCJhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYS1iYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYiJd"
        "XQ",
    ),
]


@pytest.mark.parametrize(("parse", "cursor", "text"), GIVEN_OUT)
def test_a_cursor_from_an_earlier_version_is_read(parse: Callable[[str], Any], cursor: Any, text: str) -> None:
    assert parse(text) == cursor
    assert (cursor.encode(PARAMETERS) if isinstance(cursor, WorklistCursor) else cursor.encode()) == text


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("text", ["no", "%%%", "a", "\u00e9", "\ud800", "bm8", "W10", "e30", "N", "x" * 10_000])
def test_text_that_is_no_cursor_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@pytest.mark.parametrize(("parse", "_cursor", "text"), GIVEN_OUT)
def test_a_cursor_with_other_characters_between_is_refused(
    parse: Callable[[str], Any], _cursor: Any, text: str
) -> None:
    with pytest.raises(Malformed):
        parse(f"{text[:8]}!!!!{text[8:]}")


@pytest.mark.parametrize("parse", [parse_history_cursor, parse_time_cursor, parse_sorted, parse_worklist])
@pytest.mark.parametrize(
    ("now", "other"),
    [
        ("2026-05-01T09:30:00.123456+00:00", "2026-05-01T09:30:00.123456"),
        ("2026-05-01T09:30:00.123456+00:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_time_without_a_zone_or_outside_the_calendar_is_refused(
    parse: Callable[[str], Any], now: str, other: str
) -> None:
    text = next(text for known, _, text in GIVEN_OUT if known is parse)
    content = base64.urlsafe_b64decode(text + "==").decode()
    assert now in content
    with pytest.raises(Malformed):
        parse(base64.urlsafe_b64encode(content.replace(now, other).encode()).decode().rstrip("="))
