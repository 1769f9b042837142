"""Former practices, as those who register people state them. A label has a date; the present practice has none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onestory.record.person.registration import (
    Registration,
    former_practices,
    managing_organisation_id,
    registration_from_episode,
    registrations_from_patient,
)
from onestory.record.person.statements import PatientStatement
from onestory.shared.identity import ODS_CODE_SYSTEM

TODAY = date(2026, 11, 27)
HARBOUR, LANTERN, MOOR = "A81001", "A81002", "A81003"
PDS = "X26"
PRIMARY_CARE = [
    {"coding": [{"system": "https://fhir.nhs.uk/STU3/CodeSystem/EMS-PDS-PatientCareProvisionType-1", "code": "1"}]}
]
SMOKING = [{"coding": [{"system": "http://snomed.info/sct", "code": "710081004"}]}]


def told(by: str, day: str, shared_id: str, **content: Any) -> PatientStatement:
    """A statement that this organisation made on this day."""
    said_at = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
    return PatientStatement(shared_id, shared_id, by, said_at, None, msgspec.json.encode(content))


def at(practice: str, start: str = "", end: str = "") -> dict[str, Any]:
    """A generalPractitioner as PDS writes it."""
    period = {name: day for name, day in (("start", start), ("end", end)) if day}
    return {"identifier": {"system": ODS_CODE_SYSTEM, "value": practice, **({"period": period} if period else {})}}


def patient(by: str, day: str, *named: dict[str, Any]) -> list[Registration]:
    """The registrations that a Patient statement states."""
    return list(registrations_from_patient(told(by, day, f"patient-{by}", generalPractitioner=list(named)), {}))


def episode(
    by: str, day: str, status: str, start: str = "", end: str = "", kind: Any = PRIMARY_CARE, manager: str = ""
) -> list[Registration]:
    """The registrations that an EpisodeOfCare statement states."""
    period = {name: day for name, day in (("start", start), ("end", end)) if day}
    parts: dict[str, Any] = {"status": status, "period": period, **({"type": kind} if kind else {})}
    if manager:
        parts["managingOrganization"] = {"identifier": {"system": ODS_CODE_SYSTEM, "value": manager}}
    shared_id = f"episode-{by}-{start}-{status}"
    found = registration_from_episode(told(by, day, shared_id, **parts), {}, [PDS])
    return [found] if found else []


def former(*said: list[Registration], past: Sequence[list[Registration]] = ()) -> dict[str, str]:
    """The former practices by these statements, each with the date of its label. PDS is the authority."""
    official = [each for each in said if each and each[0].stated_by == PDS and not each[0].is_episode]
    found = former_practices([one for each in said for one in each], [*past, *official], [PDS], TODAY)
    return {practice: until.isoformat() for practice, until in found.items()}


def test_the_authority_says_that_a_registration_has_ended() -> None:
    assert former(patient(PDS, "2022-01-05", at(HARBOUR, "2020-01-01", "2021-12-31"))) == {HARBOUR: "2021-12-31"}


def test_the_last_day_of_a_registration_still_belongs_to_it() -> None:
    assert former(patient(PDS, "2026-11-01", at(HARBOUR, "2020-01-01", "2026-11-27"))) == {}
    assert former(patient(PDS, "2026-11-01", at(HARBOUR, "2020-01-01", "2026-11-26"))) == {HARBOUR: "2026-11-26"}


@pytest.mark.parametrize(
    ("end", "until"), [("2024", "2024-12-31"), ("2024-02", "2024-02-29"), ("2026-11", None), ("soon", None)]
)
def test_of_an_end_without_a_day_the_last_day_counts(end: str, until: str | None) -> None:
    assert former(patient(PDS, "2024-03-01", at(HARBOUR, end=end))) == ({HARBOUR: until} if until else {})


def test_the_authority_names_another_practice_with_the_day_of_the_change() -> None:
    of_itself = patient(HARBOUR, "2023-01-01", at(HARBOUR))
    moved = patient(PDS, "2026-06-02", at(LANTERN, "2026-06-01"))

    assert former(of_itself, moved) == {HARBOUR: "2026-05-31"}


def test_without_the_day_of_the_change_nothing_can_be_told_of_a_practice_that_the_authority_never_named() -> None:
    assert former(patient(HARBOUR, "2023-01-01", at(HARBOUR)), patient(PDS, "2026-06-02", at(LANTERN))) == {}


def test_the_authority_named_the_practice_before_and_names_another_one_since() -> None:
    before, since = patient(PDS, "2025-05-01", at(HARBOUR)), patient(PDS, "2026-06-02", at(LANTERN))

    assert former(since, past=[before]) == {HARBOUR: "2026-06-02"}


def test_every_practice_on_the_way_is_a_former_one() -> None:
    first, second = patient(PDS, "2020-05-01", at(HARBOUR)), patient(PDS, "2023-06-02", at(LANTERN, "2023-06-01"))
    third = patient(PDS, "2026-07-02", at(MOOR, "2026-07-01"))

    assert former(third, past=[second, first]) == {HARBOUR: "2023-05-31", LANTERN: "2026-06-30"}


def test_who_came_back_is_registered_there_and_was_registered_in_between_elsewhere() -> None:
    first, second = patient(PDS, "2020-05-01", at(HARBOUR)), patient(PDS, "2023-06-02", at(LANTERN))
    third = patient(PDS, "2026-07-02", at(HARBOUR, "2026-07-01"))

    assert former(third, past=[first, second]) == {LANTERN: "2026-06-30"}


def test_a_statement_that_names_nobody_tells_of_no_change() -> None:
    assert former(patient(PDS, "2026-07-02"), past=[patient(PDS, "2020-05-01", at(HARBOUR))]) == {}


def test_the_presently_registered_practice_is_never_labelled_whatever_it_says_itself() -> None:
    present = patient(PDS, "2026-06-02", at(HARBOUR, "2020-01-01"))
    ended = episode(HARBOUR, "2026-08-01", "finished", "2020-01-01", "2026-07-31")

    assert former(present, ended) == {}


def test_a_list_with_the_past_and_the_present_registration_at_one_practice_labels_nothing() -> None:
    both = [at(HARBOUR, "2010-01-01", "2015-01-01"), at(HARBOUR, "2020-01-01")]

    assert former(patient(PDS, "2026-06-02", *both)) == {}
    assert former(patient(HARBOUR, "2026-06-02", *both)) == {}


def test_the_practice_itself_deregisters_the_person_and_nobody_says_otherwise() -> None:
    ended = episode(HARBOUR, "2026-03-02", "finished", "2011-01-01", "2026-03-01")

    assert former(ended) == {HARBOUR: "2026-03-01"}
    assert former(ended, patient(HARBOUR, "2026-03-02", at(HARBOUR))) == {HARBOUR: "2026-03-01"}


def test_a_registration_anew_takes_the_label_away() -> None:
    ended = episode(HARBOUR, "2026-03-02", "finished", "2011-01-01", "2026-03-01")

    assert former(ended, episode(HARBOUR, "2026-09-01", "active", "2026-09-01")) == {}
    assert former(ended, patient(HARBOUR, "2026-09-01", at(HARBOUR))) == {}
    assert former(ended, patient(PDS, "2026-09-01", at(HARBOUR))) == {}


def test_a_practice_that_has_registered_the_person_since_the_day_that_the_authority_knows_of_is_not_labelled() -> None:
    behind = patient(PDS, "2026-02-01", at(LANTERN, "2026-01-15"))
    ended = episode(HARBOUR, "2025-12-31", "finished", "2011-01-01", "2025-12-31")

    assert former(behind, ended) == {HARBOUR: "2025-12-31"}
    assert former(behind, ended, episode(HARBOUR, "2026-10-01", "active", "2026-10-01")) == {}


def test_the_later_of_two_ends_counts() -> None:
    official = patient(PDS, "2026-06-02", at(HARBOUR, "2011-01-01", "2026-02-01"), at(LANTERN, "2026-02-02"))
    by_itself = episode(HARBOUR, "2026-03-02", "finished", "2011-01-01", "2026-03-01")

    assert former(official, by_itself) == {HARBOUR: "2026-03-01"}


def test_the_authority_s_own_event_of_a_change_ends_what_its_older_patient_says() -> None:
    older = patient(PDS, "2020-06-02", at(HARBOUR, "2011-01-01"))
    event = episode(PDS, "2026-03-02", "finished", "2011-01-01", "2026-03-01", manager=HARBOUR)

    assert former(older, event) == {HARBOUR: "2026-03-01"}


def test_nobody_else_says_where_a_person_is_no_longer_registered() -> None:
    assert former(patient("RX1", "2026-06-02", at(HARBOUR, "2011-01-01", "2026-02-01"))) == {}
    assert former(episode("RX1", "2026-03-02", "finished", "2011-01-01", "2026-03-01", manager=HARBOUR)) == {}


def test_an_episode_of_other_care_is_no_registration() -> None:
    assert former(episode(HARBOUR, "2026-03-02", "finished", "2011-01-01", "2026-03-01", kind=SMOKING)) == {}


def test_an_episode_without_a_kind_is_a_registration_only_where_its_source_is_known_as_a_practice() -> None:
    unnamed = episode(HARBOUR, "2026-03-02", "finished", "2011-01-01", "2026-03-01", kind=[])
    named = patient(HARBOUR, "2026-01-01", at(HARBOUR))

    assert former(unnamed) == {}
    assert former(unnamed, named) == {HARBOUR: "2026-03-01"}


def test_the_practice_is_known_through_the_organization_that_the_episode_refers_to() -> None:
    shared_id = "a" * 26
    parts = {"status": "finished", "period": {"end": "2026-03-01"}, "type": PRIMARY_CARE}
    by_reference = told(
        HARBOUR, "2026-03-02", "e", managingOrganization={"reference": f"Organization/{shared_id}"}, **parts
    )

    assert managing_organisation_id(by_reference.content) == shared_id
    assert registration_from_episode(by_reference, {}, [PDS]) is None
    found = registration_from_episode(by_reference, {shared_id: HARBOUR}, [PDS])
    assert found is not None
    assert (found.practice, found.end) == (HARBOUR, date(2026, 3, 1))


@pytest.mark.parametrize("odd", [None, 7, "x", [], [7], [[]], {}, {"end": 7}, {"identifier": 7}, {"identifier": [7]}])
@pytest.mark.parametrize("name", ["managingOrganization", "period", "type", "status"])
def test_an_episode_with_anything_in_it_breaks_nothing(name: str, odd: object) -> None:
    parts = {"status": "finished", "period": {"end": "2026-03-01"}, "type": PRIMARY_CARE, name: odd}
    said = told(HARBOUR, "2026-03-02", "e", **parts)

    assert registration_from_episode(said, {}, [PDS]) is None
    assert managing_organisation_id(said.content) is None


@pytest.mark.parametrize("status", ["planned", "waitlist", "cancelled", "entered-in-error"])
def test_only_what_is_finished_has_ended(status: str) -> None:
    assert former(episode(HARBOUR, "2026-03-02", status, "2011-01-01", "2026-03-01")) == {}


def test_what_is_finished_without_a_day_says_nothing() -> None:
    assert former(episode(HARBOUR, "2026-03-02", "finished", "2011-01-01")) == {}


days = st.dates(date(2015, 1, 1), date(2027, 12, 31)).map(date.isoformat)
places = st.builds(at, st.sampled_from([HARBOUR, LANTERN]), st.just("") | days, st.just("") | days)
spoken = st.builds(
    lambda by, day, named: patient(by, day, *named),
    st.sampled_from([PDS, HARBOUR, LANTERN]),
    days,
    st.lists(places, max_size=3),
)
attended = st.builds(
    episode, st.sampled_from([HARBOUR, LANTERN]), days, st.sampled_from(["active", "finished"]), days, days
)


@given(said=st.lists(spoken | attended, max_size=6), order=st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing_and_whoever_is_registered_today_has_no_label(
    said: list[list[Registration]], order: random.Random
) -> None:
    again = said + order.sample(said, len(said) // 2)
    order.shuffle(again)

    found = former(*said)

    assert former(*again) == found
    assert all(date.fromisoformat(until) <= TODAY for until in found.values())
    official = [one for each in said for one in each if one.stated_by == PDS and one.is_current_on(TODAY)]
    newest = max((one.stated_at_us for one in official), default=None)
    lists = [each for each in said if each and each[0].stated_by == PDS and each[0].stated_at_us == newest]
    if len(lists) == 1:
        assert not {one.practice for one in lists[0] if one.is_current_on(TODAY)} & found.keys()
