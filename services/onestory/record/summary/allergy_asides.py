"""Puts what letters, notes, plans and problems tell of an allergy to the line of that allergy, where it has one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from onestory.record.merge.allergy_phrases import WARNING
from onestory.record.merge.model import Fact
from onestory.record.summary.allergy_words import danger_of, is_not_confirmed, kind_words
from onestory.record.summary.clinical_dates import clinical_date_text
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import text

_ENTRY = "AllergyIntolerance"
MAX_ASIDES = 3
"""Asides that one line quotes; the others are counted."""


def folded_asides(record: SummaryRecord) -> Mapping[str, Sequence[Fact]]:
    """The facts that need no line of their own, by the id of the fact at whose line they stand.

    The line must assert an allergy to all that the aside names, and be as dangerous. A problem or an alert stands at
    the line of an AllergyIntolerance to exactly the same, if it says nothing else and nothing contradicts it.
    """
    # The allergies and the medicines of one record both read them.
    return record.once(_folded)


def _folded(record: SummaryRecord) -> Mapping[str, Sequence[Fact]]:
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    by_allergen: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in record.allergy_facts:
        told = record.allergies[fact.id]
        if told.asserts and not told.is_aside:
            for name in told.allergens:
                by_allergen[name].append(fact)
    for fact in record.allergy_facts if by_allergen else ():
        told = record.allergies[fact.id]
        if fact.resource_type == _ENTRY or not told.allergens or not (told.asserts or told.standing == WARNING):
            continue
        lines = by_allergen.get(min(told.allergens), ())
        if line := next((each for each in lines if _covers(record, each, fact)), None):
            found[line.id].append(fact)
    return found


def _covers(record: SummaryRecord, line: Fact, other: Fact) -> bool:
    mine, told = record.allergies[line.id], record.allergies[other.id]
    if not told.allergens <= mine.allergens or danger_of(record, other) > danger_of(record, line):
        return False
    if told.is_aside:
        return True
    is_same = line.resource_type == _ENTRY and told.allergens == mine.allergens and told.standing == mine.standing
    return is_same and not (other.conflicts or is_not_confirmed(record, other) != is_not_confirmed(record, line))


def aside_paragraphs(record: SummaryRecord, asides: Sequence[Fact]) -> list[str]:
    """Paragraphs of XHTML for the line of an allergy: what else tells of it."""
    said = []
    for fact in asides[:MAX_ASIDES]:
        statement = record.shown(fact)
        when = clinical_date_text(statement)
        where = ", ".join(each for each in (kind_words(fact), record.organisation_of(statement), when) if each)
        said.append(text(f"Also: “{record.allergies[fact.id].words}” ({where})"))
    more = len(asides) - MAX_ASIDES
    return [*said, text(f"and {more} more that tell of it")] if more > 0 else said
