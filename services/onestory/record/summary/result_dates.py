"""The clinical dates of results. A result without a date has the date of a report that it is part of. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text, date_or_none_stated
from onestory.record.summary.model import SummaryRecord
from onestory.shared.fhir.dates import DateSpan
from onestory.shared.fhir.json import objects_at, text_at


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
