"""Results and vital signs of the last six months, social history and pregnancy.

Each kind has one line with its last five results; results of microbiology and the like count for twelve months. Kinds
whose results are all older are named with their newest result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact
from onestory.record.merge.observation import CANCELLED_WORDS, CORRECTED
from onestory.record.merge.values import number
from onestory.record.summary import model as summary_model
from onestory.record.summary.confidentiality import short_mark
from onestory.record.summary.dates import months_after
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.places import summary_codes
from onestory.record.summary.result_grid import GridResult, fits, grid
from onestory.record.summary.result_kinds import ResultDates, differing_values, kind_key, kind_name, mixed_units
from onestory.record.summary.result_text import (
    has_content,
    interpretations,
    reference_ranges,
    result_remarks,
    result_value,
    result_words,
)
from onestory.record.summary.section import LOINC, Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sections.topics import fact_ids_of_topics, topic_lines
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.dates import NEVER
from onestory.shared.fhir.json import codes_of, concept_texts, objects_at, text_at

MAX_PER_KIND = 5
MAX_AGE_MONTHS = 6
LONG_MAX_AGE_MONTHS = 12
MAX_FACTS = 50
"""Lines of social history and other facts, which never grow old."""
MAX_NAMED = 20
"""Kinds of older results that are named; the others are counted."""
_RESULTS = SectionDefinition("30954-2", "Results")
_VITAL_SIGNS = SectionDefinition("8716-3", "Vital signs")
_SOCIAL = SectionDefinition(
    "29762-2",
    "Social history and other facts",
    types=frozenset(["Observation"]),
    once=frozenset([(LOINC, "72166-2"), (LOINC, "74013-4")]),  # tobacco, alcohol
)
_PREGNANCY = SectionDefinition("10162-6", "Pregnancy", types=frozenset(["Observation"]))


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
    dates = ResultDates(record)
    elsewhere = {copy.id for copies in record.vaccination_copies.values() for copy in copies}
    elsewhere |= fact_ids_of_topics(record)
    own = [fact for fact in record.observations_by_kind.get(kind, ()) if fact.id not in elsewhere]
    told = [fact for fact in own if not _is_heading(record, fact)]
    facts = sorted(told, key=lambda fact: (-dates.span(fact).begin.timestamp(), _rank(record, fact), fact.id))
    of_kind: dict[object, list[Fact]] = {}
    for fact in facts:
        of_kind.setdefault(kind_key(record, fact), []).append(fact)
    shown: dict[str, datetime] = {}
    rows_shown: list[tuple[Sequence[Fact], datetime]] = []
    for found in of_kind.values():
        until = dict(_shown_until(record, dates, found, limit))
        shown |= until
        row = [fact for fact in found if fact.id in until]
        # Each report has a line of its own, because its text is long.
        rows = [[fact] for fact in row] if row and row[0].resource_type == "DiagnosticReport" else [row] if row else []
        rows_shown += [(each, min(until[fact.id] for fact in each)) for each in rows]
    in_grid, lines = _laid_out(record, dates, rows_shown) if limit.timed else ([], _lines(record, dates, rows_shown))
    lines.sort(key=lambda line: -dates.span(line.fact).begin.timestamp())
    if not limit.timed:
        shown = {fact.id: shown[fact.id] for line in lines[:MAX_FACTS] for fact in (line.fact, *line.others)}
        lines = lines[:MAX_FACTS]
    kinds_not_shown = [found for found in of_kind.values() if found[0].id not in shown]
    remarks = [*_older(record, dates, kinds_not_shown)]
    if more := len(facts) - len(shown) - min(len(kinds_not_shown), MAX_NAMED):
        which = "older than six months, or twelve in microbiology and the like, or beyond the last five of their kind"
        why = which if limit.timed else "older ones of a kind that is shown"
        remarks.append(f"More is held: {more} {'is' if more == 1 else 'are'} not shown here ({why}).")
    if kind == summary_model.RESULT:
        remarks.append(_without_result(record, dates))
    groups = [Group("Now", topic_lines(record, kind)), *in_grid, Group("Newest first", lines)]
    return build_section(record, definition, groups, remarks=remarks)


def _lines(record: SummaryRecord, dates: ResultDates, rows: Sequence[tuple[Sequence[Fact], datetime]]) -> list[Line]:
    return [_line(record, dates, row, until) for row, until in rows]


def _laid_out(
    record: SummaryRecord, dates: ResultDates, rows: Sequence[tuple[Sequence[Fact], datetime]]
) -> tuple[list[Group], list[Line]]:
    """The grid of the kinds whose results are short, and the lines of all others."""
    measured = [(row, until, list(_grid_results(record, dates, row))) for row, until in rows]
    short = [each for each in measured if each[0][0].resource_type == "Observation" and fits(each[2])]
    short.sort(key=lambda each: (-each[2][0].begin.timestamp(), kind_name(record, each[0][0]).casefold()))
    long = [(row, until) for row, until, results in measured if not any(row is each[0] for each in short)]
    if not short:
        return [], _lines(record, dates, long)
    found = grid([results for _, _, results in short])
    lines = [
        Line(
            row[0],
            [strong(text(kind_name(record, row[0])))],
            list(_below_name(record, dates, row)),
            until,
            others=row[1:],
            cells=cells,
        )
        for (row, until, _), cells in zip(short, found.rows, strict=True)
    ]
    return [Group("By date, newest first", lines, ("Kind", *found.heads, "Source"), is_grid=True)], _lines(
        record, dates, long
    )


def _grid_results(record: SummaryRecord, dates: ResultDates, row: Sequence[Fact]) -> Iterator[GridResult]:
    organisation = record.shown(row[0]).organisation
    for index, fact in enumerate(row):
        value, *remarks = [each for each in dict.fromkeys(_result_words(record, fact)) if each]
        of = record.shown(fact).organisation
        source = "" if of == organisation else record.organisation_of(record.shown(fact))
        yield GridResult(dates.span(fact).begin, dates.text(fact), value, remarks, source, is_newest=index == 0)


def _result_words(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    """Yields the value of a result, then all that its sources say of it."""
    shown, *others = record.valid_statements(fact)
    exact = record.exact_content(shown)
    value = result_value(exact) or "no value"
    # A reader who sees the value first has read it before the warning.
    yield f"DO NOT USE: {value}" if _is_stale(record, fact) else value
    values = (result_value(record.exact_content(each)) for each in others)
    yield from (f"Also sent as {each}" for each in values if each and each != value)
    for statement in (shown, *others):
        yield interpretations(statement.content)
    yield _status_words(exact)
    for statement in (shown, *others):
        yield from result_remarks(statement.content)


def _below_name(record: SummaryRecord, dates: ResultDates, row: Sequence[Fact]) -> Iterator[str]:
    yield from _slip(record, dates, row)
    yield from (strong(text(each)) for each in (*differing_values(record, dates, row), *mixed_units(record, row)))
    yield from (text(each) for each in reference_ranges(record.exact_content(record.shown(row[0]))))


def _status_words(content: Mapping[str, Any]) -> str:
    """The status in words; "" for a final result, which needs none."""
    status = text_at(content, "status")
    return "" if status in ("", "final") else status.replace("-", " ").capitalize()


def _older(record: SummaryRecord, dates: ResultDates, kinds_not_shown: Sequence[Sequence[Fact]]) -> Iterator[str]:
    """Yields a remark (XHTML) that names the newest result of each kind that is too old to be shown."""
    named = [_named(record, dates, found[0]) for found in kinds_not_shown[:MAX_NAMED]]
    more = len(kinds_not_shown) - len(named)
    if named:
        yield f"{strong('Older:')} {text('; '.join([*named, *([f'and {more} other kinds'] if more else [])]))}."


def _without_result(record: SummaryRecord, dates: ResultDates) -> str:
    """A remark (XHTML) that names what was ordered or cancelled, newest first; "" if there is nothing."""
    facts = sorted(
        record.observations_by_kind.get(summary_model.NO_RESULT, ()),
        key=lambda fact: (-dates.span(fact).begin.timestamp(), fact.id),
    )
    named = []
    for fact in facts[:MAX_NAMED]:
        shown = record.shown(fact).content
        state = "cancelled" if text_at(shown, "status") == "cancelled" else "ordered"
        named.append(f"{name_of(shown)}{short_mark([shown])}, {state}, {dates.text(fact)}")
    more = len(facts) - len(named)
    listed = "; ".join([*named, *([f"and {more} more"] if more else [])])
    return f"{len(facts)} that have no result: they were ordered or cancelled: {text(listed)}." if named else ""


def _named(record: SummaryRecord, dates: ResultDates, fact: Fact) -> str:
    value = result_value(record.exact_content(record.shown(fact)))
    name = kind_name(record, fact) + short_mark([each.content for each in record.valid_statements(fact)])
    return " ".join(each for each in (name, value, f"({dates.text(fact)})") if each)


def _is_heading(record: SummaryRecord, fact: Fact) -> bool:
    """Whether a report says nothing besides its results, and a reader sees these."""
    if fact.resource_type != "DiagnosticReport" or fact.conflicts:
        return False
    statements = record.valid_statements(fact)
    if any(has_content(statement.content) for statement in statements):
        return False
    listed = [(each, reference) for each in statements for reference in objects_at(each.content, "result")]
    return bool(listed) and all(record.resolve(*each) is not None for each in listed)


def _rank(record: SummaryRecord, fact: Fact) -> tuple[bool, bool]:
    """The order among results of one time: what is not to be used comes last, and a final one before a preliminary."""
    return _is_stale(record, fact), text_at(record.shown(fact).content, "status") == "preliminary"


def _is_stale(record: SummaryRecord, fact: Fact) -> bool:
    """Whether another statement corrected, cancelled or withdrew it."""
    if not any(each.kind == CORRECTED or each.explanation == CANCELLED_WORDS for each in fact.conflicts):
        return False
    return text_at(record.shown(fact).content, "status") not in ("corrected", "amended")


def _shown_until(
    record: SummaryRecord, dates: ResultDates, found: Sequence[Fact], limit: _Limit
) -> Iterator[tuple[str, datetime]]:
    """Yields the ids of the facts of one kind that are shown, each with the time until which it is."""
    for fact in found[: limit.last]:
        until = _until(record, dates, fact) if limit.timed else NEVER
        if until > record.at:
            yield fact.id, until


def _until(record: SummaryRecord, dates: ResultDates, fact: Fact) -> datetime:
    months = LONG_MAX_AGE_MONTHS if _is_long_lived(record.shown(fact).content) else MAX_AGE_MONTHS
    return months_after(dates.span(fact).end, months)


def _is_long_lived(content: Mapping[str, Any]) -> bool:
    if codes_of(content, "category") & summary_codes().long_results:
        return True
    names = " ".join([*concept_texts(content, "category"), *concept_texts(content, "code")]).casefold()
    return any(word in names for word in summary_codes().long_result_words)


def _line(record: SummaryRecord, dates: ResultDates, row: Sequence[Fact], until: datetime) -> Line:
    """The line of a kind: its newest result, then the earlier ones with their dates."""
    fact, *before = row
    shown = record.shown(fact)
    warnings = [*_stale_warning(record, fact), *_slip(record, dates, row)]
    details = [*warnings, *[text(each) for each in dict.fromkeys(_details(record, fact)) if each]]
    if before:
        details.append(f"Before: {'; '.join(_earlier(record, dates, each, shown.organisation) for each in before)}")
    name, date = kind_name(record, fact), dates.text(fact)
    if "valueDateTime" in shown.content and details and not warnings:
        # A date beside a name is read as what the name says: the value stands there, not the day of its recording.
        what, details = [strong(f"{text(name)}: {details[0]}")], [*details[1:], text(f"Recorded {date}")]
        return Line(fact, what, details, until, others=before)
    return Line(fact, [strong(text(name)), text(date)], details, until, others=before)


def _stale_warning(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    if _is_stale(record, fact):
        yield strong("DO NOT USE: see the correction.")


def _details(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    """Yields the value, then what any source adds, because the shown source may have copied the value only."""
    shown, *others = record.valid_statements(fact)
    exact = record.exact_content(shown)
    yield result_value(exact)
    values = (result_value(record.exact_content(each)) for each in others)
    yield from (f"Also sent as {value}" for value in values if value and value != result_value(exact))
    for statement in (shown, *others):
        yield interpretations(statement.content)
    yield from reference_ranges(exact)
    yield _status_words(exact)
    for statement in (shown, *others):
        yield from result_remarks(statement.content)


def _earlier(record: SummaryRecord, dates: ResultDates, fact: Fact, organisation: str) -> str:
    """An earlier result as XHTML: value, meaning, notes and date, and its source if that is another organisation."""
    statements = record.valid_statements(fact)
    exact = record.exact_content(statements[0])
    parts = [result_value(exact) or "no value", *(interpretations(each.content) for each in statements)]
    parts += [_status_words(exact)]
    parts += [remark for each in statements for remark in result_remarks(each.content)]
    source = "" if statements[0].organisation == organisation else f", {record.organisation_of(statements[0])}"
    written = text(f"{', '.join(dict.fromkeys(part for part in parts if part))} ({dates.text(fact)}{source})")
    return " ".join([*_stale_warning(record, fact), written])


def _slip(record: SummaryRecord, dates: ResultDates, row: Sequence[Fact]) -> Iterator[str]:
    """Yields a warning where two vital signs of one kind differ so much in a short time that one may be a slip."""
    words = result_words()
    if summary_model.observation_kind(record.shown(row[0]).content) != summary_model.VITAL_SIGN:
        return
    for newer, older in pairwise(row):
        apart = dates.span(newer).begin - dates.span(older).begin
        values = [record.shown(fact).content.get("valueQuantity") for fact in (newer, older)]
        amounts = [number(each.get("value")) for each in values if isinstance(each, Mapping)]
        numbers = [each for each in amounts if each is not None]
        units = {text_at(each, "unit") or text_at(each, "code") for each in values}
        low, high = (min(numbers), max(numbers)) if len(numbers) == 2 else (0, 0)
        if len(units) == 1 and apart <= timedelta(hours=words.slip_hours) and 0 < low * words.slip_factor <= high:
            both = " and ".join(result_value(record.exact_content(record.shown(fact))) for fact in (newer, older))
            yield strong(text(f"Check: {both} in a short time."))
