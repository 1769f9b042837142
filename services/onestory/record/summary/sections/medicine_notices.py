"""The notices of medicines: do not give, stopped, paused, stopped by a note, two of one class, and the dose.

Wording that differs alone is no notice; it stands beside the medicine. Each disagreement has one notice, with the name
of the medicine first; stops come before doses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from onestory.record.medicines.own_stops import stated_status
from onestory.record.medicines.products import product_of
from onestory.record.merge.model import Fact, FactConflict
from onestory.record.merge.reading import MEDICINE_TYPES
from onestory.record.summary.conflict_words import act_words, conflict_words, is_against, noted_side
from onestory.record.summary.dates import months_after
from onestory.record.summary.medicine_standing import MEDICINE_ORDERS
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.supply_warnings import otherwise_warnings, supply_warnings
from onestory.record.summary.wording import NO_MEDICINE_NAME, medicine_name, medicine_name_of

_RANKS = {"negation": 0, "status": 1, "note": 2, "same-class": 3, "dose": 4}
_ENDS = ("negation", "status")
_STOPS = (*_ENDS, "note")
_OVER = ("stopped", "cancelled", "completed", "not-taken")
_MAX_NOTICES = 8
_UNNAMED_MONTHS = 3


class _Notice(NamedTuple):
    """A notice: the name of its medicine, its words (XHTML), and the statements that they are about."""

    name: str
    words: list[str]
    statements: set[str]


def medicine_notices(record: SummaryRecord) -> Iterator[str]:
    """Yields XHTML, the most dangerous first; many are cut, with their names."""
    found: dict[FactConflict, Fact] = {}
    for fact in record.facts(*MEDICINE_TYPES):
        for conflict in fact.conflicts:
            if conflict.kind in _RANKS and _is_of_now(record, conflict):
                found.setdefault(conflict, fact)
    by_danger = sorted(found.items(), key=lambda each: (_RANKS[each[0].kind], _name(record, each[1]).casefold()))
    notices = list(_supplies(record))
    ends: list[_Notice] = []
    stopped: set[str] = set()
    for conflict, fact in by_danger:
        statements = {each for side in conflict.sides for each in side}
        if conflict.kind in _STOPS:
            stopped |= statements
        elif statements <= stopped:
            # Whether it is given at all comes first; the doses stand beside the medicine.
            continue
        notice = _Notice(_names(record, conflict, fact), _notice_words(record, conflict), statements)
        same = next((each for each in ends if not each.statements.isdisjoint(statements)), None)
        if same and conflict.kind in _ENDS:
            # One medicine that one source stopped and another paused has one notice, with the acts first.
            same.statements.update(statements)
            same.words[:] = sorted([*same.words, *notice.words], key=lambda words: not words.startswith("<"))
            continue
        if conflict.kind in _ENDS:
            ends.append(notice)
        notices.append(notice)
    notices += _unnamed(record, stopped)
    told: dict[str, str] = {}
    for each in notices:
        words = " ".join(dict.fromkeys(each.words))
        told.setdefault(f"{strong(text(each.name) + ':')} {words}", each.name)
    yield from list(told)[:_MAX_NOTICES]
    if more := list(dict.fromkeys(list(told.values())[_MAX_NOTICES:])):
        yield f"{strong('Sources disagree on more medicines:')} {text(', '.join(more))}. See Medicines."


def _unnamed(record: SummaryRecord, told: set[str]) -> Iterator[_Notice]:
    """Yields a notice for each medicine that its source stopped or paused lately, and sent as a code without a name.

    Without a dm+d release nobody can tell which line it is about.
    """
    for fact in record.facts(*MEDICINE_ORDERS):
        shown = record.shown(fact)
        if shown.shared_id in told or months_after(shown.recorded_at, _UNNAMED_MONTHS) <= record.at:
            continue
        name = _name(record, fact)
        if name.startswith(NO_MEDICINE_NAME) and (words := act_words(record, shown)):
            yield _Notice(name, [*words, text("Look the code up: it may be a medicine of another line.")], set())


def _supplies(record: SummaryRecord) -> Iterator[_Notice]:
    for warning in supply_warnings(record):
        yield _Notice(_name(record, warning.supply), [warning.words], set())
    told: set[str] = set()
    for warning in otherwise_warnings(record):
        if warning.words not in told:
            told.add(warning.words)
            yield _Notice(_name(record, warning.supply), [warning.words], set())


def _is_of_now(record: SummaryRecord, conflict: FactConflict) -> bool:
    """Whether one of the statements still goes on: a disagreement between ended courses changes nothing.

    What was handed over after a stop is with the person now.
    """
    statements = [found for side in conflict.sides for each in side if (found := record.statement(each))]
    return any(
        each.resource_type == "MedicationDispense" or stated_status(each.content) not in _OVER for each in statements
    )


def _notice_words(record: SummaryRecord, conflict: FactConflict) -> list[str]:
    """The words of a conflict. Doses stand one below the other, because a reader compares them."""
    words = conflict_words(record, conflict)
    return ["<br/>".join(words)] if conflict.kind == "dose" else words


def _names(record: SummaryRecord, conflict: FactConflict, fact: Fact) -> str:
    """The medicine that the notice is about: where it was stopped, each strength that goes on."""
    if conflict.kind not in _STOPS:
        return _name(record, fact)
    sides = [[found for each in side if (found := record.statement(each))] for side in conflict.sides]
    if conflict.kind == "note":
        _, going_on = noted_side(sides)
    else:
        going_on = [each for side in sides for each in side if not is_against(each.content)]
    strengths: dict[object, str] = {}
    for name in (medicine_name(record, each) for each in going_on):
        strengths.setdefault(product_of(name).strengths, name)
    if len(strengths) > 1:
        # A line without a strength is the same medicine.
        strengths.pop((), None)
    return ", ".join(strengths.values()) or _name(record, fact)


def _name(record: SummaryRecord, fact: Fact) -> str:
    return medicine_name_of(record, fact)
