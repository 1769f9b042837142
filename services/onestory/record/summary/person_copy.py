"""Makes the copy of a summary for the person: without what must not reach the person, or who looks over their shoulder.

Left out are what a source labels as restricted or not for the person, safeguarding, violence and what texts tell of
harm, entries from or about other people, and protected addresses, also within texts. Every copy ends with the same
words, so that they do not tell whether anything was left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from onestory.record.merge.model import Fact, FactConflict, MergedRecord
from onestory.record.person.labels import without_contact_details
from onestory.record.summary.confidentiality import is_left_out
from onestory.record.summary.copied_content import (
    NOTHING,
    Hidden,
    ProtectedTexts,
    copied_bytes,
    copied_content,
    is_hidden,
    protected_texts,
)
from onestory.record.summary.model import SummaryInput, SummaryRecord
from onestory.record.summary.narrative import paragraph
from onestory.record.summary.section import ONESTORY_SECTIONS, Section
from onestory.shared.fhir.dates import NEVER
from onestory.shared.fhir.json import Code, codes_of, objects_at, text_at

_PATIENT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LEFT_OUT = (
    "This copy is for the person. Some entries are left out of such copies: what a source marks as restricted, "
    "warnings for staff, and what comes from or is about other people. Ask the professional who gave you this copy."
)
_OF_OTHERS = ("contact", "contained", "text")
"""Elements of a Patient that name other people, or may."""
_OF_RELATIVES = ("FamilyMemberHistory", "RelatedPerson")
_NAMES_ALONE = ("Condition", "Flag")
"""Types of which the code alone tells what a labelled one of the same code must not tell."""


def copy_for_person(summary_input: SummaryInput) -> SummaryInput:
    """The input without what the copy leaves out. A fact is left out as a whole if one of its statements is."""
    record = SummaryRecord(summary_input, NEVER)
    facts, contents = summary_input.merged.facts, summary_input.contents
    people = _people(contents)
    is_labelled = any(map(is_left_out, (each for each in people if each.get("resourceType") == "Patient")))
    named = protected_texts([msgspec.json.decode(summary_input.patient), *people], is_at_risk=is_labelled)
    left_out = _left_out(record, facts, named)
    if not is_labelled and any(fact.id in left_out and fact.resource_type not in _OF_RELATIVES for fact in facts):
        # A person of whom something is left out may be at risk: then no text may tell where the person lives.
        named = named._replace(is_at_risk=True)
        left_out = _left_out(record, facts, named)
    codes = frozenset[Code]().union(*(_codes(fact) for fact in facts if fact.id in left_out))
    left_out |= {fact.id for fact in facts if _codes(fact) & codes}
    kept = [fact for fact in facts if fact.id not in left_out]
    gone = frozenset(each.shared_id for fact in facts if fact.id in left_out for each in fact.members)
    hidden = Hidden(gone, codes, named)
    sources = {each.source for fact in kept for each in fact.members}
    judgements = tuple(each for each in summary_input.merged.judgements if hidden.ids.isdisjoint(each.statement_ids))
    another = {each.organisation: each.statement for each in record.identity_doubts if each.is_another}
    not_copied = hidden.ids | set(another.values())
    is_protected = bool(left_out) or is_labelled
    return replace(
        summary_input,
        patient=_patient(summary_input.patient, frozenset(another), is_protected=is_protected),
        merged=MergedRecord(tuple(_without(fact, hidden) for fact in kept), judgements),
        contents={each: copied_bytes(raw, hidden) for each, raw in contents.items() if each not in not_copied},
        directory={each: (kind, copied_bytes(raw, hidden)) for each, (kind, raw) in summary_input.directory.items()},
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


def _people(contents: Mapping[str, bytes]) -> list[Mapping[str, Any]]:
    """The Patients and RelatedPersons among the contents."""
    raw = [each for each in contents.values() if b'"Patient"' in each or b'"RelatedPerson"' in each]
    decoded = [msgspec.json.decode(each, type=dict[str, Any]) for each in raw]
    return [each for each in decoded if each.get("resourceType") in ("Patient", "RelatedPerson")]


def _left_out(record: SummaryRecord, facts: Sequence[Fact], protected: ProtectedTexts) -> set[str]:
    """The ids of the facts of which one statement at least is not for the copy."""
    return {
        fact.id
        for fact in facts
        if any(is_hidden(each.content, protected) or record.may_be_anothers(each) for each in fact.members)
    }


def _codes(fact: Fact) -> frozenset[Code]:
    if fact.resource_type not in _NAMES_ALONE:
        return frozenset()
    return frozenset(code for each in fact.members for code in codes_of(each.content, "code"))


def _without(fact: Fact, hidden: Hidden) -> Fact:
    conflicts = tuple(conflict for conflict in fact.conflicts if not _names(conflict, hidden))
    members = tuple(replace(each, content=copied_content(each.content, hidden)) for each in fact.members)
    related = tuple(each for each in fact.related if each not in hidden.ids)
    return msgspec.structs.replace(fact, members=members, conflicts=conflicts, related=related)


def _names(conflict: FactConflict, hidden: Hidden) -> bool:
    return any(not hidden.ids.isdisjoint(side) for side in conflict.sides)


def _patient(patient: bytes, another: frozenset[str], *, is_protected: bool) -> bytes:
    """The Patient without what names other people; also without address and phone if they are protected.

    They are protected if anything was left out or a source labels the Patient: a copy of a person at risk must not tell
    where the person lives. `another` are the organisations that know the number as somebody else.
    """
    members = _PATIENT.decode(patient)
    kept: dict[str, Any] = {name: raw for name, raw in members.items() if name not in _OF_OTHERS}
    stated = objects_at(msgspec.json.decode(members.get("extension", b"[]")))
    of_person = [each for each in stated if not _is_of_others(each, another)]
    if len(of_person) < len(stated):
        kept.pop("extension")
        kept |= {"extension": of_person} if of_person else {}
    whole = patient if kept == members else msgspec.json.encode(kept)
    whole = copied_bytes(whole, NOTHING) if b"address" in whole else whole
    labelled = is_left_out(msgspec.json.decode(patient)) or any(_part(each) == "meta.security" for each in stated)
    return without_contact_details(whole) if is_protected or labelled else whole


def _is_of_others(extension: Mapping[str, Any], another: frozenset[str]) -> bool:
    """Whether an extension of a Patient has a source's word about a contact, or the word about somebody else."""
    parts = {text_at(part, "url"): part for part in objects_at(extension, "extension")}
    organisation = text_at(parts.get("source"), "valueReference", "identifier", "value")
    return _part(extension) == "contact" or organisation in another


def _part(extension: Mapping[str, Any]) -> str:
    """The element of the Patient that an extension with a source's word is about."""
    parts = objects_at(extension, "extension")
    return next((text_at(part, "valueCode") for part in parts if text_at(part, "url") == "element"), "")
