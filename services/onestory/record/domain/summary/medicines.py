"""Medicines: current repeats, those of a former practice, acute ones of a year, and what stopped within six months."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.domain.merge.fact import Fact, Said
from onestory.record.domain.summary import nil_known
from onestory.record.domain.summary.lines import About, Group, Line, section
from onestory.record.domain.summary.medicine_standing import ACUTE, CURRENT, GROUPS, Standing, standing
from onestory.record.domain.summary.moments import shown as date_shown
from onestory.record.domain.summary.narrative import strong, text
from onestory.record.domain.summary.plain import all_named, codes, first, objects
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.reviewed import reviewed
from onestory.record.domain.summary.section import Section
from onestory.record.domain.summary.wording import dated, doses, name_of, notes, period_of, status_of

_ABOUT = About(
    "10160-0",
    "Medicines",
    "No source here says anything of a medicine of now. This does not mean that there is none.",
)
_TYPES = ("MedicationRequest", "MedicationStatement")
_DENIED = {"not-taken": "Reported as not taken", "unknown": "Reported; not known whether it is taken"}


def medicines(record: Record) -> Section | None:
    """The section; what is too old is counted."""
    names = {fact.id: _name(record, record.shown(fact)) for fact in record.facts(*_TYPES)}
    groups: dict[str, list[Line]] = {group: [] for group in GROUPS}
    older = 0
    for fact in sorted(record.facts(*_TYPES), key=lambda fact: _order(fact, names)):
        if now := _now(record, fact):
            groups[now.group].append(_line(record, fact, names[fact.id], now))
        else:
            older += 1
    taken = [line.fact for group in (CURRENT, ACUTE) for line in groups[group]]
    stated = nil_known.stated(record, "medicines", taken)
    more = f"More is held: {older} older medicines are not shown here (acute ones of more than a year, others that "
    return section(
        record,
        _ABOUT,
        [Group(caption, lines) for caption, lines in groups.items()],
        remarks=[*stated, f"{more}ended more than six months ago)." if older else ""],
        empty="nilknown" if stated else "unavailable",
    )


def _now(record: Record, fact: Fact) -> Standing | None:
    """How the fact stands by what is said of it; the most current statement decides, for what is taken may harm."""
    each = [standing(record, said) for said in record.standing(fact)]
    counting = [one for one in each if one.until > record.at]
    if not counting:
        return None
    decides = min(counting, key=lambda one: GROUPS.index(one.group))
    return Standing(decides.group, min(one.until for one in counting))


def _order(fact: Fact, names: Mapping[str, str]) -> tuple[str, str, str, str]:
    # What is prescribed and what is taken of it stand together, under one of their names.
    first_of_them = min(each for each in (fact.id, *fact.beside) if each in names)
    return (names[first_of_them].casefold(), first_of_them, fact.resource_type, fact.id)


def _name(record: Record, said: Said) -> str:
    own = next(iter(all_named(said.content, "medicationCodeableConcept")), "")
    return own or next(_by_reference(record, said), "") or name_of(said.content)


def _by_reference(record: Record, said: Said) -> Iterator[str]:
    for reference in objects(said.content, "medicationReference"):
        medication = record.resolved(said, reference)
        if medication is not None:
            yield name_of(medication)
        if display := first(reference, "display"):
            yield display


def _line(record: Record, fact: Fact, name: str, now: Standing) -> Line:
    shown = record.shown(fact)
    exact = record.exact(shown)
    told = [] if doses(exact) else _doses_of_others(record, fact)
    details = [detail for detail in [*told, *_details(exact)] if detail]
    said = [note for each in record.standing(fact) for note in notes(each.content)]
    return Line(
        fact,
        [strong(text(name)), _kind(shown.content)],
        [text(detail) for detail in dict.fromkeys([*details, *said])],
        now.until,
    )


def _doses_of_others(record: Record, fact: Fact) -> list[str]:
    """Who is shown may not say the dose: then the next who does is heard."""
    for said in record.standing(fact):
        if told := doses(record.exact(said)):
            return [f"{dose} (by {record.organisation(said)})" for dose in told]
    return []


def _kind(content: Mapping[str, Any]) -> str:
    if content.get("resourceType") == "MedicationRequest":
        return "Order not to give it" if content.get("doNotPerform") is True else "Prescribed"
    if codes(content, "medicationCodeableConcept") & reviewed().none_known:
        return "Reported"
    return _DENIED.get(first(content, "status"), "Reported as taken")


def _details(content: Mapping[str, Any]) -> Iterator[str]:
    yield from doses(content)
    intent = first(content, "intent")
    said = [status_of(content), "" if intent == "order" else intent, *all_named(content, "courseOfTherapyType")]
    yield ", ".join(part for part in said if part)
    yield from all_named(content, "statusReason")
    if authored := first(content, "authoredOn"):
        yield f"Prescribed {date_shown(authored)}"
    yield dated(content, "effective")
    for validity in objects(content, "dispenseRequest", "validityPeriod"):
        yield f"Valid {period_of(validity)}"
    if reasons := all_named(content, "reasonCode"):
        yield f"For {', '.join(reasons)}"
