"""Makes the copy of a summary for the person: without what must not reach the person, or who looks over their shoulder.

Left out are what a source labels as restricted or not for the person, safeguarding and violence, entries from or about
other people, and protected addresses. Every copy ends with the same words, so that they do not tell whether anything
was left out.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from onestory.record.merge.model import Fact, FactConflict, MergedRecord
from onestory.record.person.labels import without_contact_details
from onestory.record.summary.model import SummaryInput, SummaryRecord
from onestory.record.summary.narrative import paragraph
from onestory.record.summary.places import is_left_out
from onestory.record.summary.section import ONESTORY_SECTIONS, Section

_PATIENT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LEFT_OUT = (
    "This copy is for the person. Some entries are left out of such copies: what a source marks as restricted, "
    "warnings for staff, and what comes from or is about other people. Ask the professional who gave you this copy."
)


def copy_for_person(summary_input: SummaryInput) -> SummaryInput:
    """The input without what the copy leaves out. A fact is left out as a whole if one of its statements is."""
    facts = summary_input.merged.facts
    left_out = {fact.id for fact in facts if any(is_left_out(each.content) for each in fact.members)}
    kept = [fact for fact in facts if fact.id not in left_out]
    hidden = {each.shared_id for fact in facts if fact.id in left_out for each in fact.members}
    sources = {each.source for fact in kept for each in fact.members}
    judgements = tuple(each for each in summary_input.merged.judgements if hidden.isdisjoint(each.statement_ids))
    merged = MergedRecord(tuple(_without(fact, hidden) for fact in kept), judgements)
    return replace(
        summary_input,
        patient=_patient(summary_input.patient, is_protected=bool(left_out)),
        merged=merged,
        contents={
            shared_id: content for shared_id, content in summary_input.contents.items() if shared_id not in hidden
        },
        # A source that only sent what is left out would tell of it by its name.
        freshness=[line for line in summary_input.freshness if (line.organisation, line.system) in sources],
        withheld=False,
        for_person=True,
    )


def left_out_remark(record: SummaryRecord) -> Section | None:
    """The words at the end of each copy for the person; None in other summaries."""
    if not record.input.for_person:
        return None
    return Section("person-copy", "Copy for the person", paragraph(_LEFT_OUT), system=ONESTORY_SECTIONS)


def _without(fact: Fact, hidden: set[str]) -> Fact:
    conflicts = tuple(conflict for conflict in fact.conflicts if not _names(conflict, hidden))
    return replace(fact, conflicts=conflicts, related=tuple(each for each in fact.related if each not in hidden))


def _names(conflict: FactConflict, hidden: set[str]) -> bool:
    return any(not hidden.isdisjoint(side) for side in conflict.sides)


def _patient(patient: bytes, *, is_protected: bool) -> bytes:
    """The Patient without its contacts; also without address and phone if anything was left out or it is labelled.

    A copy of a person at risk must not tell where the person lives.
    """
    members = _PATIENT.decode(patient)
    kept = {name: raw for name, raw in members.items() if name != "contact"}
    whole = patient if kept == members else msgspec.json.encode(kept)
    return without_contact_details(whole) if is_protected or is_left_out(msgspec.json.decode(whole)) else whole
