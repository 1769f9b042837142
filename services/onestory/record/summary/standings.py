"""Decides how a Condition stands today: active, suspected, ruled out, a risk, an event, of a visit, or over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from onestory.record.merge.diseases import (
    Disease,
    disease_named,
    disease_of,
    lists_lasting_disease,
    stage_named,
    stage_of,
)
from onestory.record.merge.model import Fact
from onestory.record.merge.qualifiers import (
    FAMILY_HISTORY,
    HISTORY,
    REMISSION,
    RESOLVED,
    RISK,
    RULED_OUT,
    SUSPECTED,
    qualifier_of,
    texts_of,
)
from onestory.record.summary.dates import shown as date_shown
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.sections.topics import fact_ids_in_social_history, superseded_ids
from onestory.shared.fhir.dates import NEVER, parse_date
from onestory.shared.fhir.json import codes_of, text_at, values_at

ACTIVE_STATUSES = ("active", "recurrence", "relapse")
PAST_STATUSES = ("inactive", "remission", "resolved")
VISIT_AGE = timedelta(days=365)
"""A diagnosis that was made at a visit and never closed counts as active for so long."""


class ProblemStanding(StrEnum):
    """How a Condition stands."""

    ACTIVE = "active"
    SUSPECTED = "suspected"
    RULED_OUT = "ruled-out"
    RISK = "risk"
    EVENT = "event"
    VISIT = "visit"
    PAST = "past"
    FAMILY = "family"


class PlacedProblem(NamedTuple):
    """A Condition, with what its place on the page depends on.

    `since`: its onset, or when it was recorded. `dated`: a source states that day. `doubt`: why the stated onset cannot
    be true; "" if it can. After `valid_until` it stands otherwise. `stage`: 0 if its code names none.
    """

    fact: Fact
    standing: ProblemStanding
    since: datetime
    dated: bool
    doubt: str
    disease: Disease | None
    stage: int
    valid_until: datetime


def problems_of(record: SummaryRecord) -> Sequence[PlacedProblem]:
    """Every Condition that is no allergy, newest first. Those with an onset that cannot be true come last."""
    return record.once(_problems)


def _problems(record: SummaryRecord) -> Sequence[PlacedProblem]:
    # What a newer statement on the same topic has replaced stands behind that one.
    in_topics = superseded_ids(record) | fact_ids_in_social_history(record)
    elsewhere = in_topics.union(each for each, told in record.allergies.items() if not told.is_aside)
    found = [_problem(record, fact) for fact in record.facts("Condition") if fact.id not in elsewhere]
    return sorted(found, key=lambda each: (bool(each.doubt), -each.since.timestamp(), each.fact.id))


def is_answer(record: SummaryRecord, one: PlacedProblem, other: PlacedProblem) -> bool:
    """Whether the other tells what became of a suspicion: it was recorded on that day or later."""
    return other.standing in (ProblemStanding.RULED_OUT, ProblemStanding.ACTIVE) and _recorded(
        record, one.fact
    ) <= _recorded(record, other.fact)


def _problem(record: SummaryRecord, fact: Fact) -> PlacedProblem:
    shown = record.shown(fact)
    onset = fact.onset or text_at(shown.content, "onsetDateTime") or text_at(shown.content, "onsetPeriod", "start")
    doubt = _doubt(record, onset)
    known = None if doubt else parse_date(onset)
    recorded = parse_date(shown.content.get("recordedDate"))
    day = known or recorded
    since = day.begin if day else shown.recorded_at
    codes = codes_of(shown.content, "code")
    disease = disease_of(codes) or next(filter(None, map(disease_named, texts_of(shown.content))), None)
    stage = stage_of(codes) or max(map(stage_named, texts_of(shown.content)), default=0)
    standing, valid_until = _standing(record, fact, since, disease)
    return PlacedProblem(fact, standing, since, day is not None, doubt, disease, stage, valid_until)


def _standing(
    record: SummaryRecord, fact: Fact, since: datetime, disease: Disease | None
) -> tuple[ProblemStanding, datetime]:
    qualifier = qualifier_of("Condition", record.shown(fact).content)
    if qualifier == HISTORY and any(map(lists_lasting_disease, texts_of(record.shown(fact).content))):
        qualifier = ""
    if qualifier in _QUALIFIED:
        return _QUALIFIED[qualifier], NEVER
    contents = [statement.content for statement in record.valid_statements(fact)]
    if not any(map(_states_active, contents)):
        return ProblemStanding.PAST, NEVER
    if disease is not None and disease.days is not None:
        over = since + timedelta(days=disease.days)
        return (ProblemStanding.EVENT, NEVER) if over <= record.at else (ProblemStanding.ACTIVE, over)
    if disease is None and all(map(_is_of_visit, contents)):
        old = since + VISIT_AGE
        return (ProblemStanding.VISIT, NEVER) if old <= record.at else (ProblemStanding.ACTIVE, old)
    return ProblemStanding.ACTIVE, NEVER


_QUALIFIED = {
    FAMILY_HISTORY: ProblemStanding.FAMILY,
    RULED_OUT: ProblemStanding.RULED_OUT,
    SUSPECTED: ProblemStanding.SUSPECTED,
    RESOLVED: ProblemStanding.PAST,
    REMISSION: ProblemStanding.PAST,
    RISK: ProblemStanding.RISK,
    HISTORY: ProblemStanding.EVENT,
}


def _states_active(content: Mapping[str, Any]) -> bool:
    stated = values_at(content, "clinicalStatus", "coding", "code")
    # A source may add a code of its own to that of FHIR.
    if any(status in stated for status in (*ACTIVE_STATUSES, *PAST_STATUSES)):
        return any(status in stated for status in ACTIVE_STATUSES)
    # Without a known status, a problem is over only if an abatement is stated.
    return not any(name.startswith("abatement") for name in content)


def _is_of_visit(content: Mapping[str, Any]) -> bool:
    categories = {code for _, code in codes_of(content, "category")}
    return "encounter-diagnosis" in categories and "problem-list-item" not in categories


def _doubt(record: SummaryRecord, onset: str) -> str:
    known = parse_date(onset)
    if known is None:
        return ""
    if known.begin > record.at + timedelta(days=1):
        return f"The stated onset, {date_shown(onset)}, is in the future: check it"
    born = parse_date(record.patient.get("birthDate"))
    if born and known.end < born.begin:
        return f"The stated onset, {date_shown(onset)}, is before the person's birth: check it"
    return ""


def _recorded(record: SummaryRecord, fact: Fact) -> datetime:
    shown = record.shown(fact)
    known = parse_date(shown.content.get("recordedDate"))
    return known.begin if known else shown.recorded_at
