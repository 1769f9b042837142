"""Results and vital signs of the last six months, social history and pregnancy.

The last five results of each kind are shown; results of microbiology and the like count for twelve months.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import model as summary_model
from onestory.record.summary import wording
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text, date_or_none_stated
from onestory.record.summary.dates import months_after
from onestory.record.summary.model import SummaryRecord, summary_codes
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sections.procedures import vaccination_copies
from onestory.record.summary.values import range_text, value_text
from onestory.record.summary.wording import name_of, notes
from onestory.shared.fhir.dates import NEVER, DateSpan
from onestory.shared.fhir.json import codes_of, concept_texts, objects_at, text_at

MAX_PER_KIND = 5
MAX_AGE_MONTHS = 6
LONG_MAX_AGE_MONTHS = 12
_RESULTS = SectionDefinition("30954-2", "Results")
_VITAL_SIGNS = SectionDefinition("8716-3", "Vital signs")
_SOCIAL = SectionDefinition("29762-2", "Social history")
_PREGNANCY = SectionDefinition("10162-6", "Pregnancy")


class _Limit(NamedTuple):
    """How many facts of a kind are shown; `timed`: none that are older than the maximum age."""

    last: int
    timed: bool


def results(record: SummaryRecord) -> Section | None:
    """All results that are no vital sign, social history or pregnancy."""
    return _limited(record, _RESULTS, summary_model.RESULT, _Limit(MAX_PER_KIND, timed=True))


def vital_signs(record: SummaryRecord) -> Section | None:
    """The vital signs, with the same limits."""
    return _limited(record, _VITAL_SIGNS, summary_model.VITAL_SIGN, _Limit(MAX_PER_KIND, timed=True))


def social_history(record: SummaryRecord) -> Section | None:
    """The last of each kind, however old; the line shows its date."""
    return _limited(record, _SOCIAL, summary_model.SOCIAL_HISTORY, _Limit(1, timed=False))


def pregnancy(record: SummaryRecord) -> Section | None:
    """The last of each kind, however old; the line shows its date."""
    return _limited(record, _PREGNANCY, summary_model.PREGNANCY, _Limit(1, timed=False))


def _limited(record: SummaryRecord, definition: SectionDefinition, kind: str, limit: _Limit) -> Section | None:
    dates = _ResultDates(record)
    copied = {copy.id for copies in vaccination_copies(record).values() for copy in copies}
    facts = sorted(
        (fact for fact in record.observations_by_kind.get(kind, ()) if fact.id not in copied),
        key=lambda fact: (-dates.span(fact).begin.timestamp(), fact.id),
    )
    shown = dict(_shown_until(record, dates, facts, limit))
    lines = [_line(record, fact, dates.text(fact), shown[fact.id]) for fact in facts if fact.id in shown]
    more = len(facts) - len(lines)
    which = "older than six months, or twelve in microbiology and the like, or beyond the last five of their kind"
    why = which if limit.timed else "older ones of a kind that is shown"
    remarks = [f"More is held: {more} are not shown here ({why})."] if more else []
    if kind == summary_model.RESULT:
        without_result = len(record.observations_by_kind.get(summary_model.NO_RESULT, ()))
        remarks.append(wording.omitted_remark(without_result, "have no result: they were ordered or cancelled"))
    return build_section(record, definition, [Group("Newest first", lines)], remarks=remarks)


class _ResultDates:
    """The clinical date of each result. A result without a date has the date of a report that it is part of."""

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


def _shown_until(
    record: SummaryRecord, dates: _ResultDates, facts: Iterable[Fact], limit: _Limit
) -> Iterator[tuple[str, datetime]]:
    """Yields the ids of the facts that are shown, each with the time until which it is."""
    kinds: defaultdict[object, list[Fact]] = defaultdict(list)
    for fact in facts:
        kinds[_kind_key(record, fact)].append(fact)
    for found in kinds.values():
        for fact in found[: limit.last]:
            until = _until(record, dates, fact) if limit.timed else NEVER
            if until > record.at:
                yield fact.id, until


def _kind_key(record: SummaryRecord, fact: Fact) -> tuple[object, ...]:
    content = record.shown(fact).content
    codes = codes_of(content, "code")
    # Many kinds of reports share one code; their category tells them apart.
    category = frozenset(codes_of(content, "category")) if fact.resource_type == "DiagnosticReport" else frozenset()
    return (fact.resource_type, category, min(codes) if codes else name_of(content).casefold())


def _until(record: SummaryRecord, dates: _ResultDates, fact: Fact) -> datetime:
    months = LONG_MAX_AGE_MONTHS if _is_long_lived(record.shown(fact).content) else MAX_AGE_MONTHS
    return months_after(dates.span(fact).end, months)


def _is_long_lived(content: Mapping[str, Any]) -> bool:
    if codes_of(content, "category") & summary_codes().long_results:
        return True
    names = " ".join([*concept_texts(content, "category"), *concept_texts(content, "code")]).casefold()
    return any(word in names for word in summary_codes().long_result_words)


def _line(record: SummaryRecord, fact: Fact, date: str, until: datetime) -> Line:
    shown = record.shown(fact)
    remarks = (remark for statement in record.valid_statements(fact) for remark in _remarks(statement.content))
    details = dict.fromkeys(detail for detail in [*_details(record.exact_content(shown)), *remarks] if detail)
    what = [strong(text(name_of(shown.content))), text(date)]
    return Line(fact, what, [text(detail) for detail in details], until)


def _details(content: Mapping[str, Any]) -> Iterator[str]:
    yield value_text(content)
    for usual in objects_at(content, "referenceRange"):
        if limits := text_at(usual, "text") or range_text(usual):
            yield ": ".join(["Reference range", *concept_texts(usual, "appliesTo"), limits])
    status = text_at(content, "status")
    yield f"Status: {status}" if status != "final" else ""


def _remarks(content: Mapping[str, Any]) -> Iterator[str]:
    """Interpretations and conclusions from any source, because the shown source may have copied the value only."""
    yield ", ".join(concept_texts(content, "interpretation"))
    yield text_at(content, "conclusion")
    yield from concept_texts(content, "conclusionCode")
    yield from notes(content)
