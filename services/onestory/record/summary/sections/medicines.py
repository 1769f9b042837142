"""The section of medicines: one row each, by how they stand; what stopped within six months comes last.

A row has the name, the dose, the kind with its dates, and the sources. Rows of one ingredient stand together, the
newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact, FactConflict, Statement
from onestory.record.summary import sources
from onestory.record.summary.allergy_hints import Risk, drug_risks, medicine_warnings
from onestory.record.summary.conflict_words import STOPS_ANOTHER, act_words
from onestory.record.summary.dates import shown as date_shown
from onestory.record.summary.doses import doses
from onestory.record.summary.medicine_kinds import begun_on, kind_words
from onestory.record.summary.medicine_rows import MedicineRow, medicine_rows, row_status
from onestory.record.summary.medicine_standing import (
    ANTICIPATORY,
    CURRENT,
    GROUPS,
    PAUSED,
    STOPPED,
    SUPPLIED,
    MedicineStatus,
)
from onestory.record.summary.medicine_words import standing_words
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.notation import plain_notation
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.supply_warnings import missed_doses, otherwise_warnings, product_key, supply_warnings
from onestory.record.summary.wording import medicine_name_of, name_of, notes, own_name
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import concept_texts, objects_at, text_at

_MEDICINES = SectionDefinition(
    "10160-0",
    "Medicines",
    "No current medicines received. Ask the person and check the GP record.",
    types=frozenset(["MedicationRequest", "MedicationStatement"]),
)
_MAX_OLDER = 40
"""Older medicines that are named."""
COLUMNS = ("Medicine", "Dose and how", "Kind, and last issued", "Who says so")


def medicines(record: SummaryRecord) -> Section | None:
    """The section. Medicines that are too old are counted only."""
    risks = drug_risks(record)
    warnings = {warning.supply.id: warning.words for warning in supply_warnings(record)}
    missed = missed_doses(record)
    rows: dict[str, list[tuple[MedicineRow, MedicineStatus]]] = {group: [] for group in GROUPS}
    older: list[MedicineRow] = []
    for row in sorted(medicine_rows(record), key=lambda row: _order(record, row)):
        status = row_status(record, row)
        if status.until > record.at:
            rows[status.group].append((row, status))
        else:
            older.append(row)
    for told_otherwise in otherwise_warnings(record):
        warnings.setdefault(told_otherwise.supply.id, told_otherwise.words)
    paused = {_medicine(record, row) for row, _ in rows[PAUSED]}
    for row, _ in rows[SUPPLIED]:
        if _medicine(record, row) in paused:
            warnings.setdefault(row.lead.id, strong("PAUSED: see “Paused”."))
    for row, _ in (each for group in CURRENT for each in rows[group]) if missed else ():
        if words := missed.get(product_key(record.shown(row.lead))):
            warnings.setdefault(row.lead.id, words)
    told: set[FactConflict] = set()
    over, kept = (set(_statement_ids(rows[group])) for group in (STOPPED, ANTICIPATORY))
    groups = {
        group: [_line(record, row, status, risks, warnings, told, _Apart(over, kept)) for row, status in of_group]
        for group, of_group in rows.items()
    }
    taken = [line.fact for group in CURRENT for line in groups[group]]
    stated = sources.none_known_remarks(record, "medicines", taken)
    return build_section(
        record,
        _MEDICINES,
        [Group(caption, lines, COLUMNS) for caption, lines in groups.items()],
        remarks=[*stated, _older_words(record, older)],
        empty="nilknown" if stated else "unavailable",
    )


class _Apart(NamedTuple):
    """The statements of medicines that have ended, and of those that are kept just in case."""

    over: Set[str]
    kept: Set[str]

    def are_together(self, hint: FactConflict) -> bool:
        """Whether two sides of a hint are to be read together."""
        going_on = [side for side in hint.sides if not set(side) <= self.over]
        return len(going_on) > 1 and len({set(side) <= self.kept for side in going_on}) == 1


def _statement_ids(rows: Iterable[tuple[MedicineRow, MedicineStatus]]) -> Iterator[str]:
    for row, _ in rows:
        for fact in (row.lead, *row.also):
            yield from (statement.shared_id for statement in fact.members)


def _older_words(record: SummaryRecord, rows: Sequence[MedicineRow]) -> str:
    """Counts and names the medicines that are too old for a row, each with its newest date; "" if there are none."""
    if not rows:
        return ""
    named: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: begun_on(record.shown(row.lead).content), reverse=True):
        begun = begun_on(record.shown(row.lead).content)
        named.setdefault(plain_notation(medicine_name_of(record, row.lead)), f" ({date_shown(begun)})" if begun else "")
    listed = [f"{name}{when}" for name, when in named.items()]
    further = [f"and {len(listed) - _MAX_OLDER} more"] if len(listed) > _MAX_OLDER else []
    count = len(rows) + sum(len(row.also) for row in rows)
    held = "1 older medicine is" if count == 1 else f"{count} older medicines are"
    return (
        f"More is held: {held} not shown here (acute ones of more than a year, others that ended "
        f"more than six months ago): {'; '.join([*listed[:_MAX_OLDER], *further])}."
    )


def _order(record: SummaryRecord, row: MedicineRow) -> tuple[str, float, str]:
    shown = record.shown(row.lead)
    begun = parse_date(begun_on(shown.content))
    newest = begun.begin if begun else shown.recorded_at
    return _medicine(record, row), -newest.timestamp(), row.lead.id


def _medicine(record: SummaryRecord, row: MedicineRow) -> str:
    return row.lead.medicine or _ingredient(name_of(record.shown(row.lead).content))


def _ingredient(name: str) -> str:
    """The first word of a medicine's name: UK products are named by their ingredient first."""
    return next(iter(name.casefold().split()), "")


def _line(
    record: SummaryRecord,
    row: MedicineRow,
    status: MedicineStatus,
    risks: Sequence[Risk],
    warnings: Mapping[str, str],
    told: set[FactConflict],
    apart: _Apart,
) -> Line:
    """The line of a row. `told` are the conflicts of doses that a line above shows with all sides; its own are added.

    A stop, or another dose, is read before the dose that it is about; how to read lines together comes last.
    """
    name = medicine_name_of(record, row.lead)
    every = [statement for fact in (row.lead, *row.taken) for statement in record.valid_statements(fact)]
    leading = [
        *[words for fact in (row.lead, *row.also) if (words := warnings.get(fact.id))],
        *_contradictions(record, row, told),
        *_dose_paragraphs(record, row),
        *_acts(record, row),
    ]
    above = " ".join(leading)
    return Line(
        row.lead,
        [strong(text(plain_notation(name))), *medicine_warnings(risks, name)],
        # The note that is the reason of a stop is not repeated.
        [
            *leading,
            *(each for each in _remarks(record, every) if f"({each})" not in above),
            *_hints(record, row, apart),
        ],
        status.until,
        conflicts=(),
        kind=[text(part) for part in kind_words(record, row, status) if part],
        others=row.also,
    )


def _contradictions(record: SummaryRecord, row: MedicineRow, told: set[FactConflict]) -> Iterator[str]:
    for fact in (row.lead, *row.also):
        found = [each for each in fact.conflicts if not each.is_hint]
        words = sources.conflict_paragraphs(record, fact, [each for each in found if each not in told])
        yield from (each for each in words if not each.startswith(STOPS_ANOTHER))
        if not told.isdisjoint(found):
            own = _own_doses(record, row)
            yield f"{strong('DOSES DIFFER, see above:')} {text('; '.join(own) or 'no dose stated')}"
        told.update(each for each in found if each.kind == "dose")


def _hints(record: SummaryRecord, row: MedicineRow, apart: _Apart) -> Iterator[str]:
    """Yields what the row stops, and how to read lines together if two are given now, or both kept just in case."""
    for fact in (row.lead, *row.also):
        words = sources.conflict_paragraphs(record, fact, [each for each in fact.conflicts if each.kind == "note"])
        yield from (each for each in words if each.startswith(STOPS_ANOTHER))
        hints = [each for each in fact.conflicts if each.is_hint and apart.are_together(each)]
        yield from sources.conflict_paragraphs(record, fact, hints)


def _own_doses(record: SummaryRecord, row: MedicineRow) -> list[str]:
    stated = (doses(record.exact_content(record.shown(fact))) for fact in (row.lead, *row.taken))
    return next((found for found in stated if found), [])


def _dose_paragraphs(record: SummaryRecord, row: MedicineRow) -> list[str]:
    """The doses that a row leads with: none where they differ, because its conflict shows each of them."""
    facts = (row.lead, *row.taken)
    if any(conflict.kind == "dose" for fact in facts for conflict in fact.conflicts):
        return []
    for fact in facts:
        if dose_texts := doses(record.exact_content(record.shown(fact))):
            return [text(dose) for dose in dose_texts]
    return [text(dose) for fact in facts for dose in _doses_of_others(record, fact)]


def _doses_of_others(record: SummaryRecord, fact: Fact) -> list[str]:
    """The doses of the first statement that has some, for a shown statement without one."""
    for statement in record.valid_statements(fact):
        if dose_texts := doses(record.exact_content(statement)):
            return [f"{dose} (by {record.organisation_of(statement)})" for dose in dose_texts]
    return []


def _acts(record: SummaryRecord, row: MedicineRow) -> Iterator[str]:
    """Who paused, stopped or forbade the medicine, unless a conflict of the row says so."""
    if any(conflict.kind in ("status", "negation") for conflict in row.lead.conflicts):
        return
    for statement in record.valid_statements(row.lead):
        yield from act_words(record, statement)


def _remarks(record: SummaryRecord, statements: list[Statement]) -> list[str]:
    found = []
    for statement in statements:
        content = statement.content
        reasons = [*concept_texts(content, "reasonCode"), *_referenced_reasons(record, content)]
        found += [f"For {', '.join(dict.fromkeys(reasons))}"] if reasons else []
        # A dispense that was declined has its reason here; others have it beside the stop.
        found += concept_texts(content, "statusReasonCodeableConcept")
        found += [plain_notation(note) for note in notes(content)]
    asks = standing_words().asks_to_act
    return [strong(text(each)) if asks.search(each) else text(each) for each in dict.fromkeys(found)]


def _referenced_reasons(record: SummaryRecord, content: Mapping[str, Any]) -> Iterator[str]:
    for reference in objects_at(content, "reasonReference"):
        found = record.lookup.find(content, reference)
        if name := text_at(reference, "display") or (own_name(found) if found else ""):
            yield name
