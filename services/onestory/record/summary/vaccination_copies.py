"""Finds the Procedures and Observations that record a vaccination which is an Immunization too.

They are of the same day and protect against the same. With two such vaccinations on a day, it cannot be told of which
one they are a copy: then they stay on their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text
from onestory.record.summary.values import has_value
from onestory.shared.fhir.json import text_at

_GIVEN = {"", "completed"}
_DONE = {"", "completed", "final"}
ShownFact = tuple[Fact, Statement]


def copies_of_vaccinations(
    immunisations: Iterable[ShownFact], others: Iterable[ShownFact]
) -> Mapping[str, Sequence[Fact]]:
    """The copies among the others, by the id of the immunisation. Each fact comes with the statement that is shown."""
    kinds_of = merge_rules().vaccines.kinds
    by_day: defaultdict[date, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for fact, shown in immunisations:
        given = text_at(shown.content, "status") in _GIVEN and clinical_date_text(shown)
        if given and (day := clinical_date(shown).uk_day):
            for kind in {kind for each in fact.members for kind in kinds_of(each.content)}:
                by_day[day][kind].add(fact.id)
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact, shown in others if by_day else ():
        content = shown.content
        if has_value(content) or (of_day := by_day.get(clinical_date(shown).uk_day or date.min)) is None:
            continue
        named = {each for kind in kinds_of(content) for each in of_day.get(kind, ())}
        if len(named) == 1 and text_at(content, "status") in _DONE:
            found[named.pop()].append(fact)
    return found
