"""The dates of results, and which results are of one kind, so that they stand in one row. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from onestory.record.merge.finding import finding_of
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.merge.units import code_by_name
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text, date_or_none_stated
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.notation import unit_words
from onestory.record.summary.result_text import result_value, result_words
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.dates import DateSpan
from onestory.shared.fhir.json import Code, codes_of, concept_texts, object_of, objects_at, text_at

_IS_NAME, _IS_NUMBER = re.compile(r"[a-z]{3}"), re.compile(r"[0-9]{4}")
"""A specimen is named in words; its display may be a number of the laboratory."""


class ResultDates:
    """The clinical date of each result of a record, and its words."""

    def __init__(self, record: SummaryRecord) -> None:
        self._record = record

    def span(self, fact: Fact) -> DateSpan:
        return clinical_date(self._dated(fact))

    def text(self, fact: Fact) -> str:
        dated = self._dated(fact)
        date = date_or_none_stated(dated)
        return date if dated is self._record.shown(fact) else f"{date}, the date of its report"

    def _dated(self, fact: Fact) -> Statement:
        """The shown statement; the newest report that has a date, if the shown statement has none."""
        shown = self._record.shown(fact)
        if clinical_date_text(shown):
            return shown
        reports = (report for statement in fact.members for report in self._reports.get(statement.shared_id, ()))
        return max(reports, key=lambda report: (clinical_date(report).begin, report.shared_id), default=shown)

    @cached_property
    def _reports(self) -> Mapping[str, Sequence[Statement]]:
        """The reports that have a date, by the id of each of their results."""
        found: defaultdict[str, list[Statement]] = defaultdict(list)
        for fact in self._record.facts("DiagnosticReport"):
            for report in self._record.valid_statements(fact):
                if clinical_date_text(report):
                    for reference in objects_at(report.content, "result"):
                        result = self._record.resolve(report, reference) or {}
                        found[text_at(result, "id")].append(report)
        return found


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
    if not _IS_NAME.search(letters) or _IS_NUMBER.search(letters):
        return ""
    return "" if any(each in letters for each in result_words().usual_specimens) else words


def differing_values(record: SummaryRecord, dates: ResultDates, row: Sequence[Fact]) -> Iterator[str]:
    """Yields a warning for two results of one time that are not one value: in two units, or of two organisations.

    Vital signs are measured again and again, and a conflict has words of its own.
    """
    for one, other in pairwise(row):
        if one.resource_type != "Observation" or not dates.span(one).is_time or dates.span(one) != dates.span(other):
            continue
        shown = [record.shown(each) for each in (one, other)]
        units = {_unit(each.content) for each in shown}
        of_one_source = shown[0].organisation == shown[1].organisation
        if "" in units or (len(units) == 1 and (of_one_source or _is_vital_sign(shown[0].content))):
            continue
        if one.conflicts or other.conflicts:
            continue
        values = [
            finding_of(each.content, {*codes_of(each.content, "code"), *_names(each.content)}, merge_rules()).value
            for each in shown
        ]
        scales = {measure.scale for each in values if (measure := each.quantities["valueQuantity"].measure)}
        if (len(scales) == 1 or len(units) == 1) and values[0].match(values[1]) is None:
            both = " and ".join(result_value(record.exact_content(each)) for each in shown)
            yield f"Check: {both} are of one time, and are not the same value."


def _unit(content: Mapping[str, Any]) -> str:
    quantity = content.get("valueQuantity")
    return (text_at(quantity, "unit") or text_at(quantity, "code")) if isinstance(quantity, Mapping) else ""


def _names(content: Mapping[str, Any]) -> list[Code]:
    name = code_by_name(content)
    return [name] if name else []


def _is_vital_sign(content: Mapping[str, Any]) -> bool:
    return any(code == "vital-signs" for _, code in codes_of(content, "category"))


def mixed_units(record: SummaryRecord, row: Sequence[Fact]) -> Iterator[str]:
    """Yields a remark for a row whose results have different units: a reader compares the numbers alone."""
    found: dict[str, str] = {}
    for fact in row:
        content = record.shown(fact).content
        if "valueQuantity" in content:
            unit = _unit(content)
            known = merge_rules().units.units.get(unit.casefold())
            # Other names of one unit, such as mmHg and mm[Hg], differ in nothing.
            found.setdefault(f"{known.scale} {known.factor} {known.plus}" if known else unit.casefold(), unit)
    if len(found) > 1 and "" not in found:
        yield f"Units differ: {', '.join(unit_words(each, '2') for each in found.values())}."
