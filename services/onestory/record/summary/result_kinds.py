"""Tells which results are of one kind, so that they stand in one row, and names the kind. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from onestory.record.merge.finding import finding_of
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.result_names import code_by_name
from onestory.record.merge.rules import merge_rules
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.result_dates import ResultDates
from onestory.record.summary.result_text import result_value, result_words
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.json import codes_of, concept_texts, object_of, text_at


def kind_key(record: SummaryRecord, fact: Fact) -> tuple[object, ...]:
    """What all results of one kind have in common."""
    shown = record.shown(fact)
    content = shown.content
    codes = codes_of(content, "code")
    if fact.resource_type == "DiagnosticReport":
        # Many kinds of reports share one code; their category tells them apart.
        own = min(codes) if codes else name_of(content).casefold()
        return (fact.resource_type, frozenset(codes_of(content, "category")), own)
    own_name = code_by_name(content)
    own = min(codes) if codes else own_name[1] if own_name else name_of(content).casefold()
    return (fact.resource_type, specimen(record, shown).casefold(), own)


def kind_name(record: SummaryRecord, fact: Fact) -> str:
    """The name of a result, with its specimen unless that is blood or stands in the name."""
    shown = record.shown(fact)
    name, of = name_of(shown.content), specimen(record, shown)
    return name if not of or of.casefold() in name.casefold() else f"{name} ({of})"


def specimen(record: SummaryRecord, statement: Statement) -> str:
    """The specimen in words; "" if it is blood, or not stated."""
    reference = object_of(statement.content, "specimen")
    if not reference:
        return ""
    found = record.resolve(statement, reference)
    words = next(iter(concept_texts(found, "type")), "") if found else ""
    words = words or text_at(reference, "display")
    letters = words.casefold()
    return "" if any(each in letters for each in result_words().usual_specimens) else words


def differing_units(record: SummaryRecord, dates: ResultDates, row: Sequence[Fact]) -> Iterator[str]:
    """Yields a warning for two results of one time in two units that are not the same value."""
    for one, other in pairwise(row):
        if one.resource_type != "Observation" or not dates.span(one).is_time or dates.span(one) != dates.span(other):
            continue
        contents = [record.shown(each).content for each in (one, other)]
        units = {text_at(each, "valueQuantity", "unit") or text_at(each, "valueQuantity", "code") for each in contents}
        if len(units) < 2 or "" in units:
            continue
        quantities = [
            finding_of(each, {*codes_of(each, "code"), *filter(None, [code_by_name(each)])}, merge_rules()).value
            for each in contents
        ]
        measures = [each.quantities["valueQuantity"].measure for each in quantities]
        comparable = all(measures) and len({each.scale for each in measures if each}) == 1
        if comparable and quantities[0].match(quantities[1]) is None:
            both = " and ".join(result_value(record.exact_content(record.shown(each))) for each in (one, other))
            yield f"Check: {both} are of one time, and are not the same value."
