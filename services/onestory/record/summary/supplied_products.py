"""Compares what was supplied or given with what is ordered, by the product and not by its code.

A supply belongs to an order of the same product with the same dose. One that differs from the only order of its
ingredient is told: the person has another dose at home than the one prescribed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from onestory.record.medicines.directions import Regimen
from onestory.record.medicines.medicine import MedicineEntry, concurrent
from onestory.record.medicines.regimen import DoseComparison, compare, is_rare
from onestory.record.merge.model import Fact, Statement
from onestory.record.summary.medicine_standing import supplied_on
from onestory.record.summary.model import SummaryRecord
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import text_at


class SuppliedOtherwise(NamedTuple):
    """A supply that differs in dose from the only order of its ingredient."""

    supply: Fact
    order: Fact


def entry_of(record: SummaryRecord, fact: Fact) -> MedicineEntry:
    """What a fact of a medicine is compared by."""
    entries = record.once(_entries)
    if fact.id not in entries:
        entries[fact.id] = MedicineEntry(record.shown(fact).content)
    return entries[fact.id]


def _entries(_record: SummaryRecord) -> dict[str, MedicineEntry]:
    return {}


def is_supply_of(supply: MedicineEntry, order: MedicineEntry) -> bool:
    """Whether a supply is surely one of the order: the same product, and its dose if it states one."""
    mine, theirs = supply.product, order.product
    if mine.key != theirs.key or (mine.strengths, mine.modified) != (theirs.strengths, theirs.modified):
        return False
    if (mine.form and theirs.form and mine.form != theirs.form) or mine.salts != theirs.salts:
        return False
    if mine.brand != theirs.brand and mine.brand and theirs.brand:
        return False
    if not supply.regimen.steps and not supply.regimen.unclear:
        return not supply.directions_text
    if concurrent(supply, order):
        return False
    if text_at(supply.content, "resourceType") == "MedicationAdministration":
        return _is_dose_of(supply, order)
    return compare(supply.regimen, order.regimen, mine, theirs) is DoseComparison.SAME


def _is_dose_of(given: MedicineEntry, order: MedicineEntry) -> bool:
    """Whether what was given at one time is the amount that the order names for one time."""
    found = compare(_once(given), _once(order), given.product, order.product)
    amounts = [dose.amounts for entry in (given, order) for step in entry.regimen.steps for dose in step]
    return len(amounts) == 2 and all(amounts) and found is DoseComparison.SAME


def _once(entry: MedicineEntry) -> Regimen:
    """The amounts of a regimen as if each was given once."""
    steps = tuple(
        tuple(dose._replace(times=(1.0, 1.0), slots=frozenset()) for dose in step) for step in entry.regimen.steps
    )
    return entry.regimen._replace(steps=steps)


def supplied_otherwise(
    record: SummaryRecord, supplies: Sequence[Fact], orders: Sequence[Fact]
) -> Iterator[SuppliedOtherwise]:
    """Yields the newest supply of each ingredient whose dose differs from that of the only current order of it."""
    newest: dict[str, Fact] = {}
    for fact in sorted(supplies, key=lambda each: _when(record.shown(each)), reverse=True):
        if key := entry_of(record, fact).product.key:
            newest.setdefault(key, fact)
    if not newest:
        return
    by_key: dict[str, list[Fact]] = {}
    for fact in orders:
        by_key.setdefault(entry_of(record, fact).product.key, []).append(fact)
    for key, supply in newest.items():
        ordered = by_key.get(key, ())
        if len(ordered) == 1 and _differs(record, supply, ordered[0]):
            yield SuppliedOtherwise(supply, ordered[0])


def _differs(record: SummaryRecord, supply: Fact, order: Fact) -> bool:
    mine, theirs = entry_of(record, supply), entry_of(record, order)
    handed, begun = parse_date(supplied_on(mine.content)), parse_date(text_at(theirs.content, "authoredOn"))
    if not handed or (begun and handed.begin < begun.begin) or concurrent(mine, theirs):
        return False
    if mine.product.modified != theirs.product.modified or mine.product.salts != theirs.product.salts:
        return False
    given = supply.resource_type == "MedicationAdministration"
    if given and not is_rare(theirs.regimen):
        # On a ward single doses differ; those of a depot or a weekly medicine do not.
        return False
    one, other = (_once(mine), _once(theirs)) if given else (mine.regimen, theirs.regimen)
    return compare(one, other, mine.product, theirs.product) is DoseComparison.DIFFERENT


def _when(statement: Statement) -> float:
    known = parse_date(supplied_on(statement.content))
    return (known.begin if known else statement.recorded_at).timestamp()
