"""Family history: what sources state of relatives, and of the family in the words of a Condition or Observation.

It is no problem of the person. A Condition that tells of the family is in the narrative only: as an entry, a computer
would read it as the person's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary.clinical_dates import clinical_date_text, date_text
from onestory.record.summary.model import FAMILY, SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.standings import ProblemStanding, problems_of
from onestory.record.summary.values import value_text
from onestory.record.summary.wording import name_of, notes
from onestory.shared.fhir.json import concept_text, listed_objects, text_at

_DEFINITION = SectionDefinition("10157-6", "Family history", types=frozenset(["FamilyMemberHistory"]))


def family_history(record: SummaryRecord) -> Section | None:
    """What is known of the family; None if no source states anything."""
    lines = [_of_relative(record, fact) for fact in record.facts("FamilyMemberHistory")]
    lines += [
        _of_condition(record, each.fact) for each in problems_of(record) if each.standing is ProblemStanding.FAMILY
    ]
    lines += [_of_observation(record, fact) for fact in record.observations_by_kind.get(FAMILY, ())]
    section = build_section(record, _DEFINITION, [Group("Not the person's own illness", lines)])
    return replace(section, empty=None) if section else None


def _of_condition(record: SummaryRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    onset = date_text(shown, "onset")
    details = [f"Stated for {onset}"] if onset else []
    return Line(fact, [strong(text(name_of(shown)))], [text(each) for each in [*details, *notes(shown)]])


def _of_observation(record: SummaryRecord, fact: Fact) -> Line:
    statement = record.shown(fact)
    details = [value_text(statement.content), clinical_date_text(statement), *notes(statement.content)]
    return Line(
        fact, [strong(text(name_of(statement.content)))], [text(each) for each in dict.fromkeys(details) if each]
    )


def _of_relative(record: SummaryRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    relative = concept_text(shown.get("relationship")) or text_at(shown, "name") or "Relative"
    return Line(
        fact,
        [strong(text(relative[:1].upper() + relative[1:]))],
        [text(each) for each in _details(shown) if each],
    )


def _details(content: Mapping[str, Any]) -> Iterator[str]:
    if text_at(content, "status") == "health-unknown":
        yield "Health not known"
    for condition in listed_objects(content.get("condition")):
        onset, outcome = date_text(condition, "onset"), concept_text(condition.get("outcome"))
        died = "died of it" if condition.get("contributedToDeath") is True else ""
        named = concept_text(condition.get("code")) or "Illness not named"
        yield ", ".join(each for each in (named, onset, outcome, died) if each)
        yield from notes(condition)
    if content.get("deceasedBoolean") is True:
        yield "Has died"
    elif died_on := date_text(content, "deceased"):
        yield f"Died {died_on}"
    yield from notes(content)
