"""The order of results that a caller asks for, and the cursor that names the last item of a page in it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onestory.record.search.sorting import SortCursor, SortedEntry, parse_sort_cursor, sort_order
from onestory.shared.errors import Malformed

NOW = datetime(2026, 11, 27, 9, 0, 0, 123000, tzinfo=UTC)


def placed(*resources: dict[str, Any], by: str) -> list[SortedEntry]:
    asked = sort_order("Observation", by.split(","))
    assert asked
    listed = [SortedEntry(asked.keys(each), "Observation", each["id"]) for each in resources]
    asked.sort(listed)
    return listed


def ids(*resources: dict[str, Any], by: str) -> list[str]:
    return [each.id for each in placed(*resources, by=by)]


def taken(name: str, when: str | None, code: str = "a") -> dict[str, Any]:
    dated = {"effectiveDateTime": when} if when else {}
    return {"id": name, "code": {"coding": [{"code": code}]}, **dated}


def test_dates_are_sorted_by_time_and_what_has_none_comes_last_in_both_directions() -> None:
    said = [taken("1", "2026-01"), taken("2", "2026-01-02T01:00:00+05:00"), taken("3", None), taken("4", "1999")]

    assert ids(*said, by="date") == ["4", "1", "2", "3"]
    assert ids(*said, by="-date") == ["2", "1", "4", "3"]


def test_what_is_equal_goes_by_the_next_rule_and_then_by_id() -> None:
    said = [taken("3", "2026", "a"), taken("2", "2026", "b"), taken("1", "2026", "b"), taken("4", "2025", "c")]

    assert ids(*said, by="-date,-code") == ["1", "2", "3", "4"]
    assert ids(*said, by="code,_id") == ["3", "1", "2", "4"]
    assert ids(*said, by="-_id") == ["4", "3", "2", "1"]


def test_an_order_by_what_is_not_known_is_none() -> None:
    assert sort_order("Observation", ["date", "colour"]) is None


LISTED = st.lists(
    st.tuples(st.sampled_from([None, "2024", "2025-03", "2026-01-01T10:00:00Z"]), st.sampled_from("abc")), max_size=12
)


@given(LISTED, st.sampled_from(["date", "-date", "code,-date", "-code,date,-_id"]))
def test_a_place_divides_a_list_into_what_came_before_and_what_comes_after(
    listed: list[tuple[str | None, str]], by: str
) -> None:
    resources = [taken(f"{place:02}", when, code) for place, (when, code) in enumerate(listed)]
    asked = sort_order("Observation", by.split(","))
    assert asked
    in_order = placed(*resources, by=by)

    for at, here in enumerate(in_order):
        cursor = SortCursor(*here, NOW).encode()
        place = parse_sort_cursor(cursor, len(here.keys))
        assert place == SortCursor(*here, NOW)
        assert [asked.is_after(each, place) for each in in_order] == [later > at for later in range(len(in_order))]


@pytest.mark.parametrize("cursor", ["", "%", "AAAA", "W10", "é", "bnVsbA", "WyJhIiwxLDIsM10"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(Malformed):
        parse_sort_cursor(cursor, 1)


def test_a_cursor_of_another_order_is_refused() -> None:
    cursor = SortCursor(("a", None), "Observation", "1", NOW).encode()

    for keys in itertools.chain([1], [3]):
        with pytest.raises(Malformed):
            parse_sort_cursor(cursor, keys)
