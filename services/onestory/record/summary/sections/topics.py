"""The lines of topics of which one state holds: the newest statement leads, and the older ones stand behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Line
from onestory.record.summary.topics import TopicStatement
from onestory.shared.fhir.dates import NEVER


def topic_lines(record: SummaryRecord, section: str) -> list[Line]:
    """One line for each topic of the section (`pregnancy`, `social-history`)."""
    return [_line(record, said) for _, said in sorted(record.topics.items()) if said[0].state.section == section]


def fact_ids_of_topics(record: SummaryRecord) -> set[str]:
    """The ids of all facts that a line of a topic stands for."""
    return {each.fact.id for said in record.topics.values() for each in said}


def fact_ids_in_social_history(record: SummaryRecord) -> set[str]:
    """The ids of all facts that a line of the social history stands for: they are no problems."""
    social = (said for said in record.topics.values() if said[0].state.section == "social-history")
    return {each.fact.id for said in social for each in said}


def superseded_ids(record: SummaryRecord) -> set[str]:
    """The ids of the facts on a topic that are no longer current: a newer one says otherwise, or they are too old."""
    return {
        each.fact.id
        for said in record.topics.values()
        for place, each in enumerate(said)
        if each.until <= record.at or (place and each.date.end <= said[0].date.begin)
    }


def _line(record: SummaryRecord, said: Sequence[TopicStatement]) -> Line:
    lead, *others = said
    # What its source does not date may be newer.
    undated = [each for each in others if lead.is_dated and not each.is_dated and each.state != lead.state]
    before = [each for each in others if each not in undated]
    ended = lead.until <= record.at
    name = f"{lead.state.name}: {lead.state.months} months ago or more, not current" if ended else lead.state.name
    of_one_day = {each.state.name for each in said if each.date.uk_day and each.date.uk_day == lead.date.uk_day}
    details = [*([text(lead.words)] if lead.words else []), *_other_current(record, lead, before)]
    if len(of_one_day) > 1:
        details.insert(0, strong(text(f"Sources disagree on one day: {', '.join(sorted(of_one_day))}.")))
    if named := dict.fromkeys(_undated(record, each) for each in undated if each.until > record.at):
        details.insert(0, strong(text(f"Stated without a date, so it may be newer: {'; '.join(named)}.")))
    if before:
        earlier = [f"{each.words or each.state.name} ({each.date_text})" for each in before]
        details.append(text(f"Before: {'; '.join(dict.fromkeys(earlier))}"))
    until = lead.until if lead.until > record.at else NEVER
    return Line(
        lead.fact, [strong(text(name)), text(lead.date_text)], details, until, others=[each.fact for each in others]
    )


def _undated(record: SummaryRecord, said: TopicStatement) -> str:
    return f"“{said.words or said.state.name}” ({record.organisation_of(record.shown(said.fact))})"


def _other_current(record: SummaryRecord, lead: TopicStatement, before: Sequence[TopicStatement]) -> Iterator[str]:
    """Yields a warning for each problem list that still states another state which could be current."""
    for each in before:
        problem = each.fact.resource_type == "Condition" and each.state != lead.state and each.state.months
        if problem and each.until > record.at:
            source = record.organisation_of(record.shown(each.fact))
            yield strong(text(f"{source} still lists “{each.state.name}” ({each.date_text}) as active."))
