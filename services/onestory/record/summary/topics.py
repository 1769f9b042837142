"""Finds the statements on topics of which one state holds at a time: pregnancy, smoking, mobility, carer, housing.

Observations, Conditions and Flags count alike. The topics are `schemas/summary/topics.yaml`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.values import worded
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text
from onestory.record.summary.dates import months_after, shown
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.dates import NEVER, DateSpan, parse_date
from onestory.shared.fhir.json import Code, codes_of, concept_texts, text_at

TOPIC_TYPES = ("Condition", "Flag", "Observation")
_SNOMED = "http://snomed.info/sct"
_CURRENT = {"", "active", "recurrence", "relapse"}
_NOT_SAID = {"refuted", "entered-in-error"}
_NO_STATEMENT = {"cancelled", "registered", "inactive", "entered-in-error"}


class TopicState(NamedTuple):
    """A state of a topic; `months`: how long it counts as current, None without end."""

    topic: str
    section: str
    name: str
    months: int | None


class TopicTable(NamedTuple):
    """The states by code and by name; the codes of questions, with the topic that they ask for."""

    codes: Mapping[Code, TopicState]
    words: Mapping[str, TopicState]
    questions: Mapping[Code, str]


class TopicStatement(NamedTuple):
    """A statement that says which state holds; `until` is when it no longer counts as current."""

    fact: Fact
    state: TopicState
    date: DateSpan
    date_text: str
    until: datetime


@clinical_table
def topic_table() -> TopicTable:
    """The topics, read once from the file."""
    codes: dict[Code, TopicState] = {}
    words: dict[str, TopicState] = {}
    questions: dict[Code, str] = {}
    for topic, each in read_clinical_data("summary/topics").items():
        questions |= {_code(code): topic for code in each["questions"]}
        for name, state in each["states"].items():
            known = TopicState(topic, each["section"], name, each.get("months") if state["ends"] else None)
            codes |= {_code(code): known for code in state["codes"]}
            words |= dict.fromkeys(state["words"], known)
    return TopicTable(codes, words, questions)


def topic_statements(shown_facts: Iterable[tuple[Fact, Statement]]) -> Mapping[str, Sequence[TopicStatement]]:
    """The statements of each topic, newest first. `shown_facts` are facts with the statement that is shown."""
    found: defaultdict[str, list[TopicStatement]] = defaultdict(list)
    for fact, statement in shown_facts:
        if state := _state(statement.content):
            written = text_at(statement.content, "onsetDateTime") or text_at(statement.content, "onsetPeriod", "start")
            date = parse_date(written) or clinical_date(statement)
            until = months_after(date.end, state.months) if state.months and date.end < NEVER else NEVER
            date_text = shown(written) if written else clinical_date_text(statement) or "date not stated"
            found[state.topic].append(TopicStatement(fact, state, date, date_text, until))
    return {
        topic: sorted(each, key=lambda said: (-said.date.begin.timestamp(), said.fact.id))
        for topic, each in found.items()
    }


def _state(content: Mapping[str, Any]) -> TopicState | None:
    table = topic_table()
    coded = codes_of(content, "code")
    asked = next((table.questions[code] for code in coded if code in table.questions), "")
    element = "valueCodeableConcept" if asked else "code"
    state = next((table.codes[code] for code in codes_of(content, element) if code in table.codes), None)
    if state is None:
        states = map(_state_by_name, concept_texts(content, element))
        state = next((state for state in states if state), None)
    if state is None or (asked and state.topic != asked) or not _is_said(content):
        return None
    return state


@cache_texts(8192)
def _state_by_name(name: str) -> TopicState | None:
    return topic_table().words.get(worded(name))


def _is_said(content: Mapping[str, Any]) -> bool:
    """Whether the statement holds: it is not denied, over or without a result."""
    if content.get("valueBoolean") is False or text_at(content, "status") in _NO_STATEMENT:
        return False
    if any(name.startswith("abatement") for name in content):
        return False
    clinical = text_at(content, "clinicalStatus", "coding", "code")
    return clinical in _CURRENT and text_at(content, "verificationStatus", "coding", "code") not in _NOT_SAID


def _code(written: object) -> Code:
    system, _, code = str(written).rpartition("|")
    return (system or _SNOMED, code)
