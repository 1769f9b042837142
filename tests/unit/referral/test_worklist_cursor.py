"""The cursor between the pages of a worklist. It comes from outside, so it may hold anything."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from onestory.referral.worklist.domain import Sort, SortKey, WorklistCursor, parse_worklist_cursor
from onestory.shared.errors import Malformed

AT = datetime(2026, 5, 1, 9, 30, 0, 123456, tzinfo=UTC)
ASKED = {"priority": "stat", "": "/worklists/teams/nurses"}
FIRST = WorklistCursor(AT, "", "10:20:11,12", SortKey((2, AT), "person-referral"))


@pytest.mark.parametrize(
    ("cursor", "sort"),
    [
        (FIRST, Sort.URGENCY),
        (WorklistCursor(AT, "10:10:", "20:20:", None), Sort.URGENCY),
        (WorklistCursor(AT, "10:10:", "20:20:", SortKey((AT,), "person-referral")), Sort.CHANGED),
    ],
)
def test_a_cursor_is_read_as_it_was_written(cursor: WorklistCursor, sort: Sort) -> None:
    assert parse_worklist_cursor(cursor.encode(ASKED), ASKED, sort) == cursor


def test_a_cursor_of_another_question_is_refused() -> None:
    with pytest.raises(Malformed):
        parse_worklist_cursor(FIRST.encode(ASKED), {**ASKED, "priority": "routine"}, Sort.URGENCY)


DIGEST, AS_OF, _, UNTIL, PLACE = orjson.loads(base64.urlsafe_b64decode(FIRST.encode(ASKED) + "=="))


@pytest.mark.parametrize(
    "said",
    [
        [],
        {},
        [DIGEST, AS_OF, "", "", PLACE],
        [DIGEST, AS_OF, "", "+10:20:", PLACE],
        [DIGEST, AS_OF, "", "1_0:20:", PLACE],
        [DIGEST, AS_OF, "", "30:20:", PLACE],
        [DIGEST, AS_OF, "", "10:20:12,11", PLACE],
        [DIGEST, AS_OF, "", "10:20:25", PLACE],
        [DIGEST, AS_OF, "x", UNTIL, PLACE],
        [DIGEST, AS_OF, 7, UNTIL, PLACE],
        [DIGEST, "today", "", UNTIL, PLACE],
        [DIGEST, AS_OF, "", UNTIL, [[2], "x"]],
        [DIGEST, AS_OF, "", UNTIL, [[PLACE[0][1]], "x"]],
        [DIGEST, AS_OF, "", UNTIL, [[9, PLACE[0][1]], "x"]],
        [DIGEST, AS_OF, "", UNTIL, [PLACE[0]]],
        [DIGEST, AS_OF, "", UNTIL, [PLACE[0], "\x00"]],
        [DIGEST, AS_OF, "", UNTIL, [PLACE[0], 7]],
    ],
)
def test_what_we_did_not_write_is_refused(said: Any) -> None:
    text = base64.urlsafe_b64encode(orjson.dumps(said)).decode()

    with pytest.raises(Malformed):
        parse_worklist_cursor(text, ASKED, Sort.URGENCY)


@pytest.mark.parametrize("text", ["", "no", "%%%", "\u00e9", "bm8", "x" * 10_000])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_worklist_cursor(text, ASKED, Sort.URGENCY)
