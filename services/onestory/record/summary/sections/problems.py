"""Problems: active ones, newest first; and past illness, likewise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import sources
from onestory.record.summary.model import MergedRecord
from onestory.record.summary.moments import moment
from onestory.record.summary.moments import shown as date_shown
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, section
from onestory.record.summary.wording import dated, foremost, name_of, notes, status_of
from onestory.shared.fhir.json import all_named, each, first, named

_PROBLEMS = SectionDefinition(
    "11450-4",
    "Problems",
    "No source here says anything of a current problem. This does not mean that there is none.",
)
_PAST = SectionDefinition("11348-0", "Past illness")
_ACTIVE = ("active", "recurrence", "relapse")
_PAST_STATUSES = ("inactive", "remission", "resolved")
MOST_PAST = 50
"""Past illnesses that are shown: the newest of each kind first."""


def problems(record: MergedRecord) -> Section | None:
    """Active problems."""
    lines = [_line(record, fact) for fact in _newest_first(record) if _is_active(record, fact)]
    stated = sources.stated(record, "problems", [line.fact for line in lines])
    return section(
        record,
        _PROBLEMS,
        [Group("Active", lines)],
        remarks=stated,
        empty="nilknown" if stated else "unavailable",
    )


def past_illness(record: MergedRecord) -> Section | None:
    """Resolved problems, and those that were ruled out."""
    past = [fact for fact in _newest_first(record) if not _is_active(record, fact)]
    lines = [_line(record, fact) for fact in foremost(record, past, MOST_PAST)]
    more = len(past) - len(lines)
    remarks = [f"More is held: {more} older resolved problems are not shown here."] if more else []
    return section(record, _PAST, [Group("Resolved, inactive or ruled out", lines)], remarks=remarks)


def _newest_first(record: MergedRecord) -> list[Fact]:
    facts = record.facts("Condition")
    return sorted(facts, key=lambda fact: (-_since(record, fact).timestamp(), fact.id))


def _since(record: MergedRecord, fact: Fact) -> datetime:
    said = record.shown(fact)
    onset = first(said.content, "onsetDateTime") or first(said.content, "onsetPeriod", "start")
    known = moment(fact.onset) or moment(onset) or moment(said.content.get("recordedDate"))
    return known.begin if known else said.recorded_at


def _is_active(record: MergedRecord, fact: Fact) -> bool:
    return any(_stands_as_active(said.content) for said in record.standing(fact))


def _stands_as_active(content: Mapping[str, Any]) -> bool:
    if "refuted" in each(content, "verificationStatus", "coding", "code"):
        return False
    stated = each(content, "clinicalStatus", "coding", "code")
    # A source may have a code of its own beside FHIR's.
    if any(status in stated for status in (*_ACTIVE, *_PAST_STATUSES)):
        return any(status in stated for status in _ACTIVE)
    # Without a status that is known only an end says that it is over.
    return not any(name.startswith("abatement") for name in content)


def _line(record: MergedRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    contents = [said.content for said in record.standing(fact)]
    return Line(
        fact,
        [strong(text(name_of(shown))), *[text(site) for site in all_named(shown, "bodySite")]],
        [text(detail) for detail in dict.fromkeys(_details(fact, shown, contents)) if detail],
    )


def _details(fact: Fact, shown: Mapping[str, Any], contents: list[Mapping[str, Any]]) -> Iterator[str]:
    yield status_of(shown)
    if onset := date_shown(fact.onset) or dated(shown, "onset"):
        yield f"Since {onset}"
    if ended := dated(shown, "abatement"):
        yield f"Ended {ended}"
    for content in contents:
        if severity := named(content.get("severity")):
            yield f"Severity: {severity}"
    for content in contents:
        yield from notes(content)
