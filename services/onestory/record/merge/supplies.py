"""Finds medicines that were handed over (MedicationDispense) after another source stopped them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onestory.record.medicines.medicine import MedicineEntry, concurrent
from onestory.record.merge.conflicts import two_sided_conflict
from onestory.record.merge.ingredients import IngredientGroups
from onestory.record.merge.medication import Medicines
from onestory.record.merge.model import FactConflict
from onestory.record.merge.pairs import Bucket
from onestory.record.merge.reading import Reading
from onestory.record.merge.values import span
from onestory.shared.fhir.json import text

_SUPPLIED = "One source stopped this medicine, another handed it over after that."


def supply_conflicts(
    supplies: Sequence[Reading], groups: IngredientGroups, medicines: Medicines
) -> Iterator[FactConflict]:
    """Yields a conflict for each ingredient that was handed over after its stop and with which no source goes on."""
    entries = {each.ordinal: MedicineEntry(each.content) for each in supplies if _is_handed_over(each)}
    by_ingredient: dict[str, Bucket] = {}
    for reading in supplies:
        if reading.ordinal in entries and (key := entries[reading.ordinal].product.key):
            by_ingredient.setdefault(key, []).append(reading)

    def contradict(stop: Reading, supply: Reading) -> bool:
        handed = span(supply.content.get("whenHandedOver"))
        return (
            handed is not None
            and stop.source != supply.source
            and handed.since > medicines.course(stop).latest_end
            and not concurrent(medicines.entry(stop), entries[supply.ordinal])
        )

    for key, supplied in sorted(by_ingredient.items()):
        group = groups.group(key)
        if not any(each.phase == "current" and not each.negative for each in group):
            stopped = [each for each in group if each.phase == "stopped" and not each.negative]
            yield from two_sided_conflict("status", _SUPPLIED, stopped, supplied, contradict)


def _is_handed_over(reading: Reading) -> bool:
    return reading.comparable and text(reading.content.get("status")) == "completed"
