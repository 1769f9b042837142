"""The notices of medicines: do not give, stopped, paused, stopped by a note, two of one class, and the dose.

Wording that differs alone is no notice; it stands beside the medicine. Each disagreement has one notice, with the name
of the medicine first; stops come before doses.
"""

from __future__ import annotations

from collections.abc import Iterator

from onestory.record.merge.model import Fact, FactConflict
from onestory.record.merge.reading import MEDICINE_TYPES
from onestory.record.summary.conflict_words import conflict_words, noted_side
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.supply_warnings import supply_warnings
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.json import text_at

_RANKS = {"negation": 0, "status": 1, "note": 2, "same-class": 3, "dose": 4}
_STOPS = ("negation", "status", "note")
_OVER = ("stopped", "cancelled", "completed")
_MAX_NOTICES = 8


def medicine_notices(record: SummaryRecord) -> Iterator[str]:
    """Yields XHTML, the most dangerous first; many are cut, with their names."""
    found: dict[FactConflict, Fact] = {}
    for fact in record.facts(*MEDICINE_TYPES):
        for conflict in fact.conflicts:
            if conflict.kind in _RANKS and _is_of_now(record, conflict):
                found.setdefault(conflict, fact)
    by_danger = sorted(found.items(), key=lambda each: (_RANKS[each[0].kind], _name(record, each[1]).casefold()))
    told: dict[str, None] = {}
    stopped: set[str] = set()
    for conflict, fact in by_danger:
        statements = {each for side in conflict.sides for each in side}
        if conflict.kind in _STOPS:
            stopped |= statements
        elif statements <= stopped:
            # Whether it is given at all comes first; the doses stand beside the medicine.
            continue
        told[f"{strong(text(_names(record, conflict, fact)) + ':')} {' '.join(_notice_words(record, conflict))}"] = None
    supplies = list(_supplies(record))
    notices = [*supplies, *told]
    yield from notices[:_MAX_NOTICES]
    if len(notices) > _MAX_NOTICES:
        names = dict.fromkeys(_name(record, fact) for _, fact in by_danger[max(_MAX_NOTICES - len(supplies), 0) :])
        yield f"{strong('Sources disagree on more medicines:')} {text(', '.join(names))}. See Medicines."


def _supplies(record: SummaryRecord) -> Iterator[str]:
    for warning in supply_warnings(record):
        yield f"{strong(text(_name(record, warning.supply)) + ':')} {warning.words}"


def _is_of_now(record: SummaryRecord, conflict: FactConflict) -> bool:
    """Whether one of the statements still goes on: a disagreement between ended courses changes nothing.

    What was handed over after a stop is with the person now.
    """
    statements = [found for side in conflict.sides for each in side if (found := record.statement(each))]
    return any(
        each.resource_type == "MedicationDispense" or text_at(each.content, "status") not in _OVER
        for each in statements
    )


def _notice_words(record: SummaryRecord, conflict: FactConflict) -> list[str]:
    """The words of a conflict. Doses stand one below the other, because a reader compares them."""
    words = conflict_words(record, conflict)
    return ["<br/>".join(words)] if conflict.kind == "dose" else words


def _names(record: SummaryRecord, conflict: FactConflict, fact: Fact) -> str:
    """The medicine that the notice is about: for a note, the one that it stops."""
    if conflict.kind != "note":
        return _name(record, fact)
    sides = [[found for each in side if (found := record.statement(each))] for side in conflict.sides]
    _, stopped = noted_side(sides)
    return name_of(stopped[0].content) if stopped else _name(record, fact)


def _name(record: SummaryRecord, fact: Fact) -> str:
    return name_of(record.shown(fact).content)
