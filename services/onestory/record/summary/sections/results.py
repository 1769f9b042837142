"""Results and vital signs of the last six months, social history and pregnancy.

The last five results of each kind are shown; results of microbiology and the like count for twelve months.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact
from onestory.record.summary import model as summary_model
from onestory.record.summary import wording
from onestory.record.summary.dates import months_after
from onestory.record.summary.model import SummaryRecord, summary_codes
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.wording import name_of, notes, quantity_text, value_text
from onestory.shared.fhir.dates import NEVER
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
    facts = wording.newest_first(record, record.observations_by_kind.get(kind, ()))
    shown = dict(_shown_until(record, facts, limit))
    lines = [_line(record, fact, shown[fact.id]) for fact in facts if fact.id in shown]
    more = len(facts) - len(lines)
    which = "older than six months, or twelve in microbiology and the like, or beyond the last five of their kind"
    why = which if limit.timed else "older ones of a kind that is shown"
    remarks = [f"More is held: {more} are not shown here ({why})."] if more else []
    return build_section(record, definition, [Group("Newest first", lines)], remarks=remarks)


def _shown_until(record: SummaryRecord, facts: Iterable[Fact], limit: _Limit) -> Iterator[tuple[str, datetime]]:
    """Yields the ids of the facts that are shown, each with the time until which it is."""
    kinds: defaultdict[object, list[Fact]] = defaultdict(list)
    for fact in facts:
        kinds[_kind_key(record, fact)].append(fact)
    for found in kinds.values():
        for fact in found[: limit.last]:
            until = _until(record, fact) if limit.timed else NEVER
            if until > record.at:
                yield fact.id, until


def _kind_key(record: SummaryRecord, fact: Fact) -> tuple[object, ...]:
    content = record.shown(fact).content
    codes = codes_of(content, "code")
    # Many kinds of reports share one code; their category tells them apart.
    category = frozenset(codes_of(content, "category")) if fact.resource_type == "DiagnosticReport" else frozenset()
    return (fact.resource_type, category, min(codes) if codes else name_of(content).casefold())


def _until(record: SummaryRecord, fact: Fact) -> datetime:
    statement = record.shown(fact)
    months = LONG_MAX_AGE_MONTHS if _is_long_lived(statement.content) else MAX_AGE_MONTHS
    return months_after(wording.clinical_date(statement).end, months)


def _is_long_lived(content: Mapping[str, Any]) -> bool:
    if codes_of(content, "category") & summary_codes().long_results:
        return True
    names = " ".join([*concept_texts(content, "category"), *concept_texts(content, "code")]).casefold()
    return any(word in names for word in summary_codes().long_result_words)


def _line(record: SummaryRecord, fact: Fact, until: datetime) -> Line:
    shown = record.shown(fact)
    remarks = (remark for statement in record.valid_statements(fact) for remark in _remarks(statement.content))
    details = dict.fromkeys(detail for detail in [*_details(record.exact_content(shown)), *remarks] if detail)
    date = wording.clinical_date_text(shown)
    what = [strong(text(name_of(shown.content))), *([text(date)] if date else [])]
    return Line(fact, what, [text(detail) for detail in details], until)


def _details(content: Mapping[str, Any]) -> Iterator[str]:
    yield value_text(content)
    for usual in objects_at(content, "referenceRange"):
        between = " to ".join(
            part for part in (quantity_text(usual.get("low")), quantity_text(usual.get("high"))) if part
        )
        if range_text := text_at(usual, "text") or between:
            yield f"Reference range: {range_text}"
    status = text_at(content, "status")
    yield f"Status: {status}" if status != "final" else ""


def _remarks(content: Mapping[str, Any]) -> Iterator[str]:
    """Interpretations and conclusions from any source, because the shown source may have copied the value only."""
    yield ", ".join(concept_texts(content, "interpretation"))
    yield text_at(content, "conclusion")
    yield from concept_texts(content, "conclusionCode")
    yield from notes(content)
