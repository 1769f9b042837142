"""Finds the statements on topics of which one state holds at a time: pregnancy, smoking, mobility, carer, housing.

Observations, Conditions and Flags count alike, and Procedures that close a state. The topics are those of
`schemas/summary/topics.yaml`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.allergy_phrases import is_empty_word
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.qualifiers import FAMILY_HISTORY, MIXED, RELATIVE, RISK, RULED_OUT, SUSPECTED, qualification
from onestory.record.merge.values import worded
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text
from onestory.record.summary.dates import months_after, shown
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.dates import NEVER, DateSpan, parse_date
from onestory.shared.fhir.json import Code, codes_of, concept_text, concept_texts, text_at
from onestory.shared.fhir.resource import CodedConcept, concept_at, read_once

TOPIC_TYPES = ("Condition", "Flag", "Observation", "Procedure")
NOT_DATED = "date not stated"
_UNSURE = frozenset([FAMILY_HISTORY, MIXED, RELATIVE, RISK, RULED_OUT, SUSPECTED])
_GOES_ON = re.compile(
    r"\s+-+\s|[,(:;.\u2013]|\s+(?:since|for|at|on|from|with|about|approx|x|in(?! past| the past| \d))\b|\s+[\d/]"
)
"""Where the name of a state ends, and the source goes on."""
_SNOMED = "http://snomed.info/sct"
_CURRENT = {"", "active", "recurrence", "relapse"}
_NOT_SAID = {"refuted", "entered-in-error"}
_NO_STATEMENT = {"cancelled", "registered", "inactive", "entered-in-error"}


class TopicState(NamedTuple):
    """A state of a topic; `months`: how long it counts as current, None without end. `closes`: it ends another one."""

    topic: str
    section: str
    name: str
    months: int | None
    closes: bool


class TopicTable(NamedTuple):
    """The states by code, and by topic and name; the codes and names of questions, with the topic that they ask for."""

    codes: Mapping[Code, TopicState]
    words: Mapping[str, Mapping[str, TopicState]]
    questions: Mapping[Code, str]
    question_words: Mapping[str, str]


class TopicStatement(NamedTuple):
    """A statement that says which state holds; `until` is when it no longer counts as current.

    `words`: what the source wrote, if it says more than the name of the state.
    """

    fact: Fact
    state: TopicState
    words: str
    date: DateSpan
    date_text: str
    until: datetime

    @property
    def is_dated(self) -> bool:
        """Whether its source says when it held. When it was sent says nothing of that."""
        return self.date_text != NOT_DATED


@clinical_table
def topic_table() -> TopicTable:
    """The topics, read once from the file."""
    codes: dict[Code, TopicState] = {}
    words: dict[str, dict[str, TopicState]] = {}
    questions: dict[Code, str] = {}
    question_words: dict[str, str] = {}
    for topic, each in read_clinical_data("summary/topics").items():
        questions |= {_code(code): topic for code in each["questions"]}
        question_words |= dict.fromkeys(each["question-words"], topic)
        for name, state in each["states"].items():
            known = TopicState(
                topic, each["section"], name, each.get("months") if state["ends"] else None, state.get("closes", False)
            )
            codes |= {_code(code): known for code in state["codes"]}
            words.setdefault(topic, {}).update(dict.fromkeys(state["words"], known))
    return TopicTable(codes, words, questions, question_words)


def topic_statements(
    shown_facts: Iterable[tuple[Fact, Statement]], at: datetime
) -> Mapping[str, Sequence[TopicStatement]]:
    """The statements of each topic, newest first, those without a date last.

    `shown_facts` are facts with the statement that is shown. A Flag whose period is over at `at` states nothing.
    """
    found: defaultdict[str, list[TopicStatement]] = defaultdict(list)
    for fact, statement in shown_facts:
        state, words = _state(statement.content) or (None, "")
        if state and (state.closes or statement.resource_type != "Procedure") and not _is_past_flag(statement, at):
            written = _when(statement.content)
            date = parse_date(written) or clinical_date(statement)
            until = months_after(date.end, state.months) if state.months and date.end < NEVER else NEVER
            date_text = shown(written) if written else clinical_date_text(statement) or NOT_DATED
            found[state.topic].append(TopicStatement(fact, state, words, date, date_text, until))
    return {
        topic: sorted(each, key=lambda said: (not said.is_dated, -said.date.begin.timestamp(), said.fact.id))
        for topic, said in found.items()
        if (each := [one for one in said if not one.state.closes or _closes_another(one, said)])
    }


def _is_past_flag(statement: Statement, at: datetime) -> bool:
    end = parse_date(text_at(statement.content, "period", "end")) if statement.resource_type == "Flag" else None
    return end is not None and end.end <= at


def _when(content: Mapping[str, Any]) -> str:
    onset = text_at(content, "onsetDateTime") or text_at(content, "onsetPeriod", "start")
    return onset or text_at(content, "performedDateTime") or text_at(content, "performedPeriod", "end")


def _closes_another(one: TopicStatement, every: Sequence[TopicStatement]) -> bool:
    """Whether it ends a state that could hold then. A delivery of years ago is no news of a pregnancy."""
    return any(each.state.months and each.date.begin <= one.date.begin < each.until for each in every)


def _state(content: Mapping[str, Any]) -> tuple[TopicState, str] | None:
    """The state that a statement tells, and its words if they say more; None if it tells of none."""
    table = topic_table()
    if not _may_name_topic(concept_at(content, "code")) or not _is_said(content):
        return None
    coded, name = codes_of(content, "code"), concept_text(content.get("code"))
    value = concept_text(content.get("valueCodeableConcept")) or text_at(content, "valueString")
    asked = next((table.questions[code] for code in coded if code in table.questions), "")
    asked = asked or (table.question_words.get(worded(name), "") if value else "")
    found = next((table.codes[code] for code in codes_of(content, "valueCodeableConcept") if code in table.codes), None)
    found = found if found and found.topic == asked else _state_by_name(value, asked) if asked else None
    if found:
        return found, _more_than(found, value)
    if asked and (value or "valueCodeableConcept" in content) and not _is_yes(value):
        return None
    state = next((table.codes[code] for code in coded if code in table.codes), None)
    if state is None:
        said = (_state_by_name(each, topic) for topic in table.words for each in concept_texts(content, "code"))
        state = next((each for each in said if each), None)
    if state is None or (value and not _is_yes(value) and is_empty_word(value)):
        return None
    return state, _more_than(state, f"{name}: {value}" if value and not _is_yes(value) else name)


@read_once
def _may_name_topic(concept: CodedConcept) -> bool:
    """Whether words or codes name a state, or ask for one. Most do not."""
    table = topic_table()
    if any(code in table.codes or code in table.questions for code in concept.codes):
        return True
    if any(worded(name) in table.question_words for name in concept.texts):
        return True
    return any(_state_by_name(name, topic) for topic in table.words for name in concept.texts)


def _more_than(state: TopicState, words: str) -> str:
    if state.closes:
        return words
    return "" if worded(words) in topic_table().words[state.topic] or worded(words) == worded(state.name) else words


def _is_yes(value: str) -> bool:
    return worded(value) in ("yes", "y", "true")


@cache_texts(8192)
def _state_by_name(name: str, topic: str) -> TopicState | None:
    states, plain = topic_table().words[topic], worded(name)
    if plain in states:
        return states[plain]
    if not _UNSURE.isdisjoint(qualification(name).kinds):
        return None
    return states.get(_GOES_ON.split(plain, maxsplit=1)[0])


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
