"""About Me (PRSB): what matters to the person, in their own words; the alerts, and objections to sharing.

http://hl7.org/fhir/R4/flag.html. Alerts are Flags, and what other types state of safeguarding, abuse, violence and
adjustments, ordered by their effect on what to do next. One that another source closed says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import sources, wording
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text
from onestory.record.summary.confidentiality import short_mark
from onestory.record.summary.model import ABOUT_ME, SummaryRecord
from onestory.record.summary.narrative import own_words, paragraph, plain_text, strong, text
from onestory.record.summary.places import (
    ALERT,
    DISSENT,
    AlertKind,
    alert_kind,
    is_dissent_withdrawn,
    places,
    summary_codes,
)
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.values import period_text, value_text
from onestory.record.summary.wording import name_of, notes, repeats
from onestory.shared.fhir.dates import NEVER, parse_date, uk_day
from onestory.shared.fhir.json import Code, codes_of, concept_texts, objects_at, text_at

_ABOUT_ME_CODE = "81338-6"
_DOCUMENT_TYPES = ("Composition", "DocumentReference")


_OVER = frozenset(
    [
        *("revoked", "completed", "superseded", "inactive", "rejected", "cancelled", "stopped", "not-done"),
        *("resolved", "remission", "refuted", "entered-in-error"),
    ]
)
_COMPLETED_HOLDS = frozenset(["Communication", "Procedure", "QuestionnaireResponse"])
MAX_ENDED = 20
"""Facts that are over and are named in a section; the others are counted."""


def about_me(record: SummaryRecord) -> Section | None:
    """All About Me documents, newest first. A Composition is text only, because an IPS document has only its own."""
    documents = [fact for fact in record.facts(*_DOCUMENT_TYPES) if is_about_me(record, fact)]
    facts = wording.newest_first(record, [*documents, *record.observations_by_kind.get(ABOUT_ME, ())])
    if not facts:
        return None
    entries = [(sources.referenced_ids(record, fact)[0], (sources.fact_extension(record, fact),)) for fact in facts]
    kept = [entry for entry, fact in zip(entries, facts, strict=True) if fact.resource_type != "Composition"]
    return Section(
        _ABOUT_ME_CODE,
        "About Me",
        "".join(_narrative(record, fact) for fact in facts),
        entries=tuple(kept),
        facts=tuple(facts),
    )


def is_about_me(record: SummaryRecord, fact: Fact) -> bool:
    """Whether it is a document of the person's own words: by its code, or by its title if it has the words in it."""
    if fact.resource_type not in _DOCUMENT_TYPES:
        return False
    content = record.shown(fact).content
    if codes_of(content, "type") & summary_codes().about_me:
        return True
    has_words = any(text_at(each, "text", "div") for each in [content, *objects_at(content, "section")])
    names = (text_at(content, "title"), *concept_texts(content, "type")) if has_words else ()
    return any(_is_title(name.strip().casefold()) for name in names)


def _is_title(name: str) -> bool:
    known = (each for each in summary_codes().about_me_titles if name.startswith(each))
    return any(not name[len(each) : len(each) + 1].isalnum() for each in known)


def _narrative(record: SummaryRecord, fact: Fact) -> str:
    own = "".join(_words(record.shown(fact).content))
    lines = [*sources.source_paragraphs(record, fact), *sources.conflict_paragraphs(record, fact)]
    return own + paragraph("<br/>".join(lines))


def _words(content: Mapping[str, Any]) -> Iterator[str]:
    parts = list(_sections(content))
    if not parts:
        own = plain_text(text_at(content, "text", "div")) or text_at(content, "description") or value_text(content)
        yield own_words(own)
    for part in parts:
        if title := text_at(part, "title"):
            yield paragraph(strong(text(title)))
        yield own_words(plain_text(text_at(part, "text", "div")))
    for note in notes(content):
        yield own_words(note)


def _sections(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    ahead = deque(objects_at(content, "section"))
    while ahead:
        part = ahead.popleft()
        yield part
        ahead.extendleft(reversed(objects_at(part, "section")))


def is_over(content: Mapping[str, Any]) -> bool:
    """Whether the status of a flag, plan or decision says that it no longer holds."""
    stated = {text_at(content, "status"), text_at(content, "lifecycleStatus")}
    stated.update(code for _, code in codes_of(content, "clinicalStatus"))
    stated.update(code for _, code in codes_of(content, "verificationStatus"))
    # A decision that was recorded as a completed Procedure or answer is in force.
    ends = _OVER - {"completed"} if content.get("resourceType") in _COMPLETED_HOLDS else _OVER
    return not ends.isdisjoint(stated) or content.get("valueBoolean") is False or "abatementDateTime" in content


def ended_remark(record: SummaryRecord, facts: Iterable[Fact]) -> str:
    """A remark that names each fact that is over, with its end and source. "" if there are none."""
    known = list(facts)
    newest = wording.newest_first(record, known)
    named = [_ended(record, fact) for fact in newest[:MAX_ENDED]]
    more = f"; and {len(known) - MAX_ENDED} more" if len(known) > MAX_ENDED else ""
    return f"No longer in force: {'; '.join(named)}{more}." if named else ""


def _ended(record: SummaryRecord, fact: Fact) -> str:
    statement = record.shown(fact)
    title, name = text_at(statement.content, "title"), name_of(statement.content)
    named = f"{name} ({title})" if title and title.casefold() != name.casefold() else name
    end = period_end(statement.content)
    day = summary_dates.day(uk_day(end if end < NEVER else statement.recorded_at))
    status = text_at(statement.content, "status")
    how = status if is_over(statement.content) and status in _OVER else "ended"
    until = f"until {_last_day(end)}" if end < NEVER else f"{how}, told {day}"
    mark = short_mark([each.content for each in record.valid_statements(fact)])
    return text(f"{named}{mark}, {until} ({record.organisation_of(statement)})")


def _last_day(end: datetime) -> str:
    return summary_dates.day(uk_day(end - timedelta(microseconds=1)))


def period_end(content: Mapping[str, Any]) -> datetime:
    """When the period of a resource ends; `NEVER` if no end is stated."""
    known = parse_date(text_at(content, "period", "end"))
    return known.end if known else NEVER


def next_period_end(record: SummaryRecord, fact: Fact) -> datetime:
    """The next end of a period among the statements whose period is not over."""
    return min(
        (end for statement in record.valid_statements(fact) if (end := period_end(statement.content)) > record.at),
        default=NEVER,
    )


_ALERTS = SectionDefinition("104605-1", "Alerts", types=frozenset(["Flag"]))


def alerts(record: SummaryRecord) -> Section | None:
    """The alerts that any source holds as in force, and the names of those that are over."""
    known = record.placed(ALERT)
    in_force = [fact for fact in known if any(_holds(record, each) for each in record.valid_statements(fact))]
    shown = {fact.id for fact in in_force}
    over = [fact for fact in known if fact.id not in shown]
    ended = (each for fact in known for each in record.valid_statements(fact) if not _holds(record, each))
    closed = list(dict.fromkeys(_closure(record, each) for each in ended))
    facts = sorted(wording.newest_first(record, in_force), key=lambda fact: _rank(record, fact))
    lines = [_line(record, fact, closed) for fact in facts]
    return build_section(record, _ALERTS, [Group("In force", lines)], remarks=[ended_remark(record, over)])


def _holds(record: SummaryRecord, statement: Statement) -> bool:
    return not is_over(statement.content) and period_end(statement.content) > record.at


def _kind(record: SummaryRecord, fact: Fact) -> AlertKind | None:
    found = (alert_kind(statement.content) for statement in record.valid_statements(fact))
    return min((kind for kind in found if kind), key=lambda kind: kind.rank, default=None)


def _rank(record: SummaryRecord, fact: Fact) -> int:
    kind = _kind(record, fact)
    return kind.rank if kind else len(places().kinds)


class _Closure(NamedTuple):
    """The end of an alert as a source states it, in words; and what tells of which alert it is."""

    source: tuple[str, str]
    day: date
    words: str
    codes: frozenset[Code]
    kind: AlertKind | None


def _closure(record: SummaryRecord, statement: Statement) -> _Closure:
    day, content = uk_day(_end(statement)), statement.content
    who = record.organisation_of(statement)
    words = f"CLOSED by {who}, {summary_dates.day(day)}: {name_of(content)}. Check which counts."
    return _Closure(statement.source, day, words, frozenset(codes_of(content, "code")), alert_kind(content))


def _line(record: SummaryRecord, fact: Fact, closed: Sequence[_Closure]) -> Line:
    shown = record.shown(fact).content
    name = name_of(shown)
    # A category that has neither text nor display is a code, which tells a reader nothing.
    not_shown = {name, *[code for _, code in codes_of(shown, "category")]}
    kinds = [kind for kind in concept_texts(shown, "category") if kind not in not_shown and not repeats(name, kind)]
    if fact.resource_type != "Flag":
        kinds = []
    what = [strong(text(name)), *[text(kind) for kind in kinds]]
    ends = [*_closures(record, fact, closed), *_newer_states(record, fact)]
    closures = [strong(text(each)) for each in dict.fromkeys(ends)]
    details = dict.fromkeys(_details(record, fact))
    return Line(fact, what, [*closures, *[text(each) for each in details if each]], next_period_end(record, fact))


def _closures(record: SummaryRecord, fact: Fact, closed: Sequence[_Closure]) -> Iterator[str]:
    """Yields the ends that other sources state of what this alert still holds."""
    members = [each for each in record.valid_statements(fact) if _holds(record, each)]
    sources = {each.source for each in members}
    begin = min(uk_day(clinical_date(each).begin) for each in members)
    codes = {code for each in members for code in codes_of(each.content, "code")}
    kinds = [kind for each in members if (kind := alert_kind(each.content)) and kind.one_state]
    for other in closed:
        is_same = not codes.isdisjoint(other.codes) or any(kind is other.kind for kind in kinds)
        if is_same and other.source not in sources and other.day > begin:
            yield other.words


def _newer_states(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    """Yields what a newer statement says of the topic of this alert, such as the end of the pregnancy."""
    if fact.resource_type != "Flag":
        return
    for lead, *others in record.topics.values():
        own = next((each for each in others if each.fact.id == fact.id), None)
        if own and lead.is_dated and lead.state != own.state and lead.date.begin > own.date.begin:
            who, said = record.organisation_of(record.shown(lead.fact)), lead.words or lead.state.name
            yield f"{who}, {lead.date_text}: {said}. Check which counts."


def _end(statement: Statement) -> datetime:
    end = period_end(statement.content)
    known = parse_date(text_at(statement.content, "abatementDateTime"))
    if end < NEVER:
        return end - timedelta(microseconds=1)
    return known.begin if known else statement.recorded_at


def _details(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    for statement in record.valid_statements(fact):
        content: Mapping[str, Any] = statement.content
        yield period_text(content.get("period"))
        yield value_text(content)
        yield text_at(content, "description")
        yield from notes(content)
        if fact.resource_type != "Flag" and (date := clinical_date_text(statement) or _onset(content)):
            yield f"Dated {date}"


def _onset(content: Mapping[str, Any]) -> str:
    onset = text_at(content, "onsetDateTime")
    return summary_dates.shown(onset) if onset else ""


def dissents(record: SummaryRecord) -> list[Fact]:
    """The objections to sharing, newest first, also those that are over."""
    return wording.newest_first(record, record.placed(DISSENT))


def dissent_notices(record: SummaryRecord) -> Iterator[str]:
    """Yields one notice (XHTML) with all objections to sharing; nothing if there are none."""
    facts = dissents(record)
    if not facts:
        return
    in_force = any(_is_held(record, fact) for fact in facts)
    head = "Has objected to sharing of this record." if in_force else "Had objected to sharing of this record."
    yield "<br/>".join([strong(head), *[text(_objection(record, fact)) for fact in facts]])


def _is_held(record: SummaryRecord, fact: Fact) -> bool:
    contents = [statement.content for statement in record.valid_statements(fact)]
    held = [each for each in contents if not (is_over(each) or is_dissent_withdrawn(each))]
    return any(period_end(content) > record.at for content in held)


def _objection(record: SummaryRecord, fact: Fact) -> str:
    statement = record.shown(fact)
    day = summary_dates.day(uk_day(clinical_date(statement).begin))
    over = "" if _is_held(record, fact) else " (no longer in force)"
    refused = ": not permitted" if text_at(statement.content, "provision", "type") == "deny" else ""
    return f"{record.organisation_of(statement)}, {day}: {name_of(statement.content)}{refused}{over}"
