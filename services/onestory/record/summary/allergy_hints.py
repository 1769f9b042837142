"""Hints between allergies of one class, and between an allergy and the person's medicines.

A hint joins nothing and decides nothing: it names the other line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from onestory.record.merge.allergens import allergens_in, known_allergens
from onestory.record.merge.allergy_phrases import DENIED, REFUTED, WARNING
from onestory.record.merge.model import Fact, Statement
from onestory.record.summary.allergy_asides import folded_asides
from onestory.record.summary.allergy_words import allergy_name, statement_words
from onestory.record.summary.clinical_dates import clinical_date
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import text_at, values_at

_DRUGS = ("medication", "biologic")
_MEDICINES = ("MedicationRequest", "MedicationStatement", "MedicationDispense")
_NOT_ORDERED = ("proposal", "option")
_ENDS = (
    ("effectivePeriod", "end"),
    ("dispenseRequest", "validityPeriod", "end"),
    ("dosageInstruction", "timing", "repeat", "boundsPeriod", "end"),
    ("dosage", "timing", "repeat", "boundsPeriod", "end"),
)
_SHORT_COURSE = timedelta(days=28)
_DENIALS = (REFUTED, DENIED)
MAX_RELATED = 6
"""Other allergies that one line names."""


class Risk(NamedTuple):
    """An allergy that the person has or may have: its fact, its name on the page, and its allergens.

    `is_warning`: it is no allergy, but a warning against the medicines.
    """

    fact: Fact
    name: str
    allergens: frozenset[str]
    is_warning: bool


def drug_risks(record: SummaryRecord) -> list[Risk]:
    """The allergies to medicines that no source has only ruled out or ended, and the warnings against medicines."""
    folded = {fact.id for facts in folded_asides(record).values() for fact in facts}
    return [
        Risk(fact, allergy_name(record, fact), drugs, told.standing == WARNING)
        for fact in record.allergy_facts
        if fact.id not in folded
        and ((told := record.allergies[fact.id]).asserts or told.standing == WARNING)
        and (drugs := _drugs(told.allergens))
    ]


def medicine_warnings(risks: Sequence[Risk], medicine: str) -> list[str]:
    """Paragraphs of XHTML for the line of a medicine: the allergies that its name meets."""
    held = _drugs(allergens_in(medicine)) if risks else frozenset()
    return [
        strong(text(f"{'Warning' if risk.is_warning else 'Allergy'} recorded: {risk.name}"))
        for risk in risks
        if held and meets(risk.allergens, held)
    ]


def meets(allergens: frozenset[str], held: frozenset[str]) -> bool:
    """Whether a medicine that holds these allergens may harm a person with an allergy to the others.

    It does if it holds the allergen, or a member of its class; and if both belong to a class that shares its allergies.
    """
    known = known_allergens()
    classes = known.classes_of(held)
    if allergens & (held | classes):
        return True
    shared = {each for each in classes | held if known.by_name[each].cross}
    return bool(shared & known.classes_of(allergens))


def medicine_hints(record: SummaryRecord, allergens: frozenset[str], current: Mapping[str, Fact]) -> Iterator[str]:
    """Yields paragraphs of XHTML for the line of an allergy: the current medicines that meet it, by their names."""
    drugs = _drugs(allergens)
    for name in sorted(current) if drugs else ():
        held = _drugs(allergens_in(name))
        if held and meets(drugs, held):
            classes = sorted(known_allergens().classes_of(held) & (drugs | known_allergens().classes_of(drugs)))
            of_class = f" (belongs to: {', '.join(classes)})" if classes and not drugs & held else ""
            who = record.organisation_of(record.shown(current[name]))
            yield strong(text(f"Current medicine: {name}{of_class}, {who}"))


class RelatedAllergies:
    """Finds the allergies to the same substance as another, to its class, or to members of it."""

    def __init__(self, record: SummaryRecord) -> None:
        self._record = record
        self._named: defaultdict[str, list[Fact]] = defaultdict(list)
        self._members: defaultdict[str, list[Fact]] = defaultdict(list)
        folded = {fact.id for facts in folded_asides(record).values() for fact in facts}
        for fact in record.allergy_facts:
            if fact.id in folded:
                continue
            allergens = record.allergies[fact.id].allergens
            for name in allergens:
                self._named[name].append(fact)
            for name in known_allergens().classes_of(allergens):
                self._members[name].append(fact)

    def hints(self, fact: Fact) -> list[str]:
        """Paragraphs of XHTML that name the other allergies, at most `MAX_RELATED`."""
        mine = self._record.allergies[fact.id].allergens
        classes = known_allergens().classes_of(mine)
        related = [
            *((other, "the same substance") for name in sorted(mine) for other in self._named[name]),
            *((other, "the class that this belongs to") for name in sorted(classes) for other in self._named[name]),
            *((other, "a member of this class") for name in sorted(mine) for other in self._members[name]),
        ]
        # A conflict names the other line already.
        named = {fact.id, *(each for conflict in fact.conflicts for side in conflict.sides for each in side)}
        found: dict[str, str] = {}
        for other, relation in related:
            if len(found) == MAX_RELATED:
                break
            if other.id not in found and named.isdisjoint(each.shared_id for each in other.members):
                found[other.id] = self._hint(fact, other, relation)
        return [hint for hint in found.values() if hint]

    def _hint(self, fact: Fact, other: Fact, relation: str) -> str:
        record = self._record
        told, read = record.allergies[fact.id], record.allergies[other.id]
        if told.asserts and read.standing in _DENIALS:
            return f"{strong(text(f'Ruled out for {relation}:'))} {self._words(other)}"
        if read.asserts and told.standing in _DENIALS:
            return f"{strong(text(f'Still recorded for {relation}:'))} {self._words(other)}"
        name = allergy_name(record, other)
        if not (read.asserts and told.asserts) or name.casefold() == allergy_name(record, fact).casefold():
            return ""
        return text(f"See also, {relation}: {name}")

    def _words(self, other: Fact) -> str:
        shown = self._record.shown(other)
        return f"{text(allergy_name(self._record, other))}. {statement_words(self._record, shown)}"


def medicines_taken(record: SummaryRecord) -> dict[str, Fact]:
    """The medicines that the person may be taking, by name."""
    return {
        name_of(record.shown(fact).content): fact
        for fact in record.facts(*_MEDICINES)
        if any(_may_be_taken(statement, record.at) for statement in record.valid_statements(fact))
    }


def _may_be_taken(statement: Statement, at: datetime) -> bool:
    """Whether a medicine is current. A short course and a supply count for four weeks."""
    content = statement.content
    if content.get("doNotPerform") is True or text_at(content, "intent") in _NOT_ORDERED:
        return False
    status = text_at(content, "status")
    is_recent = at - clinical_date(statement).end <= _SHORT_COURSE
    if statement.resource_type == "MedicationDispense":
        return is_recent and status in ("completed", "in-progress")
    ends = [known.end for path in _ENDS for written in values_at(content, *path) if (known := parse_date(written))]
    if status not in ("active", "") or (ends and max(ends) <= at):
        return False
    is_acute = "acute" in values_at(content, "courseOfTherapyType", "coding", "code")
    authored = parse_date(content.get("authoredOn"))
    return not is_acute or at - (authored.end if authored else clinical_date(statement).end) <= _SHORT_COURSE


def _drugs(allergens: frozenset[str]) -> frozenset[str]:
    known = known_allergens().by_name
    return frozenset(each for each in allergens if known[each].category in _DRUGS)
