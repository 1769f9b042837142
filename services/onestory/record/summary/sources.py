"""Who says a fact: in words for the narrative, and as an extension for systems."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from onestory.record.merge.model import Fact, FactConflict, Judgement, Statement, Verdict
from onestory.record.summary import moments
from onestory.record.summary.model import MergedRecord, reviewed
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.wording import in_brief, own_name
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.json import codes, first
from onestory.shared.identity import ODS_CODE_SYSTEM

FACT = "https://onestory.nhs.uk/StructureDefinition/summary-fact"
"""Extension on a section's entry: `certainty`, `rule`s, `source`s and `conflict`s of the fact that it stands for."""

MOST_ON_A_SIDE = 5
"""Statements of one side of a conflict that stand beside a fact; the others are facts of the same section."""


def in_words(record: MergedRecord, fact: Fact) -> list[str]:
    """Paragraphs of XHTML: each source with when it recorded the fact, and why they count as one fact."""
    standing = record.standing(fact)
    lines = [_line(record, said, standing[0]) for said in standing]
    stand = {said.shared_id for said in standing}
    withdrawn = [said for said in fact.members if said.shared_id not in stand]
    lines += [f"{text(record.organisation(said))} has withdrawn this" for said in withdrawn]
    if len(fact.members) > 1:
        lines.append(f"Joined as one fact ({fact.certainty.value}): {text(', '.join(fact.rules))}")
    return [*lines, *[_judgement(record, judgement) for judgement in record.judgements(fact)]]


def conflicts(record: MergedRecord, fact: Fact) -> list[str]:
    """Paragraphs of XHTML: what sources disagree in, with every side."""
    every = [disagreement(record, conflict) for conflict in fact.conflicts]
    return [line for told in every for line in (f"{strong('Sources disagree:')} {told[0]}", *told[1:])]


def disagreement(record: MergedRecord, conflict: FactConflict) -> list[str]:
    """Paragraphs of XHTML: what it is about, then each side."""
    return [text(conflict.explanation), *[f"On one side: {_side(record, side)}" for side in conflict.sides]]


def extension(record: MergedRecord, fact: Fact) -> dict[str, Any]:
    """The same for systems."""
    return {
        "url": FACT,
        "extension": [
            {"url": "certainty", "valueCode": fact.certainty.value},
            *[{"url": "rule", "valueCode": rule} for rule in fact.rules],
            *[_source(record, said) for said in record.standing(fact)],
            *[_conflict(record, conflict) for conflict in fact.conflicts],
        ],
    }


def statements(record: MergedRecord, fact: Fact) -> list[str]:
    """The shared ids of what a summary carries for a fact: what is shown, and both sides of what it conflicts in."""
    standing = [said.shared_id for said in record.standing(fact)]
    if len(standing) == 1:
        return standing
    sides = {shared_id for conflict in fact.conflicts for side in conflict.sides for shared_id in side}
    return [standing[0], *[shared_id for shared_id in standing[1:] if shared_id in sides]]


def _judgement(record: MergedRecord, judgement: Judgement) -> str:
    says = (
        "that these statements are one fact" if judgement.verdict is Verdict.SAME else "to keep it apart from another"
    )
    when = moments.day(judgement.said.recorded_at.astimezone(UTC).date())
    return f"A clinician of {text(record.organisation(judgement.said))} judged {says}, {when}"


def _line(record: MergedRecord, said: Statement, shown: Statement) -> str:
    line = f"{text(record.organisation(said))}, recorded {moments.day(said.recorded_at.astimezone(UTC).date())}"
    own = own_name(said.content)
    if said is not shown and own and own != own_name(shown.content):
        line += f", as “{text(own)}”"
    until = record.former_until(said)
    return f"{line}: {strong(f'former practice, until {moments.day(until)}')}" if until else line


def _side(record: MergedRecord, side: tuple[str, ...]) -> str:
    known = [said for shared_id in side[:MOST_ON_A_SIDE] if (said := record.said(shared_id))]
    told = [f"{text(record.organisation(said))} says “{text(in_brief(said.content))}”" for said in known]
    more = len(side) - MOST_ON_A_SIDE
    return "; ".join([*told, f"and {more} more"] if more > 0 else told)


def _source(record: MergedRecord, said: Statement) -> dict[str, Any]:
    until = record.former_until(said)
    parts: list[dict[str, Any]] = [
        {"url": "organisation", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": said.organisation}},
        {"url": "system", "valueString": said.system},
        {"url": "recorded", "valueInstant": format_instant(said.recorded_at)},
        {"url": "statement", "valueId": said.shared_id},
    ]
    if until:
        parts.append({"url": "formerPracticeUntil", "valueDate": until.isoformat()})
    return {"url": "source", "extension": parts}


def _conflict(record: MergedRecord, conflict: FactConflict) -> dict[str, Any]:
    sides = [said for side in conflict.sides for each in side[:MOST_ON_A_SIDE] if (said := record.said(each))]
    return {
        "url": "conflict",
        "extension": [
            {"url": "kind", "valueCode": conflict.kind},
            {"url": "explanation", "valueString": conflict.explanation},
            *[{"url": "statement", "valueId": each.shared_id} for each in sides],
        ],
    }


# Where a source itself states that there is none: a List of its kind with the emptyReason `nilknown`.
#
# It is a clinical statement, and is never computed from having found nothing.


def stated(record: MergedRecord, kind: str, known: Iterable[Fact]) -> list[str]:
    """Remarks (XHTML), one for each source that states it; `kind` is one of the reviewed lists.

    `known` is what others say that there is: beside it, sources disagree.
    """
    disagree = any(_names_something(record, fact) for fact in known)
    says = f"{strong('Sources disagree:')} none known" if disagree else "None known"
    of_this_kind = reviewed().lists[kind]
    remarks = []
    for fact in record.facts("List"):
        content = record.shown(fact).content
        says_nil = any(code == "nilknown" for _, code in codes(content, "emptyReason"))
        if says_nil and first(content, "status") in ("", "current") and codes(content, "code") & of_this_kind:
            remarks.append(f"{says}, as stated by {'; '.join(in_words(record, fact))}")
    return remarks


def _names_something(record: MergedRecord, fact: Fact) -> bool:
    """Whether it says what there is, and not itself that there is none."""
    content = record.shown(fact).content
    said = codes(content, "code") | codes(content, "medicationCodeableConcept")
    return not said & reviewed().none_known
