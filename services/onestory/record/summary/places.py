"""Decides which statements stand among the plans, the alerts or the objections to sharing, whatever their type.

A fact stands in one place only. The words and codes are those of `schemas/summary/alerts.yaml`, `codes.yaml` and
`schemas/merge/`. The codes that put a statement into a section of its own are here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.reading import (
    is_plan_by_words,
    not_performed_decision,
    small_letters,
    words_pattern,
)
from onestory.record.merge.rules import merge_rules
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.json import Code, codes_of, concept_text, concept_texts, text_at, values_at
from onestory.shared.fhir.resource import CodedConcept, concept_at, read_once

PLAN = "plan"
ALERT = "alert"
DISSENT = "dissent"
PLAN_TYPES = frozenset(
    [
        "CarePlan",
        "Communication",
        "Composition",
        "Condition",
        "Consent",
        "DocumentReference",
        "Flag",
        "Goal",
        "Observation",
        "Procedure",
        "QuestionnaireResponse",
        "ServiceRequest",
    ]
)
_SNOMED = "http://snomed.info/sct"
_PLAN_ELEMENTS = ("category", "type", "code", "scope", "valueCodeableConcept", "description")
_DOCUMENTS = {"Composition", "DocumentReference"}
_TITLES = (
    ("title",),
    ("description",),
    ("content", "attachment", "title"),
    ("type", "text"),
    ("type", "coding", "display"),
)
_PRIVACY = {"patient-privacy", ""}


class AlertKind(NamedTuple):
    """A kind of alerts; see the file for its members. `rank` is its place in the order."""

    name: str
    rank: int
    codes: frozenset[Code]
    words: re.Pattern[str] | None
    one_state: bool
    not_for_person: bool


class Places(NamedTuple):
    """The content of the file. `by_code` has the first kind of each code."""

    by_code: Mapping[Code, AlertKind]
    kinds: tuple[AlertKind, ...]
    types: frozenset[str]
    dissent_codes: frozenset[Code]
    dissent_words: re.Pattern[str]
    dissent_types: frozenset[str]
    dissent_withdrawn: re.Pattern[str]
    third_party: re.Pattern[str]


@clinical_table
def places() -> Places:
    """The places, read once from the file."""
    table = read_clinical_data("summary/alerts")
    kinds = [
        AlertKind(
            name,
            rank,
            _codes(kind["codes"]),
            words_pattern(kind["words"]) if kind["words"] else None,
            kind["one-state"],
            kind["not-for-person"],
        )
        for rank, (name, kind) in enumerate(table["kinds"].items())
    ]
    return Places(
        {code: kind for kind in reversed(kinds) for code in kind.codes},
        tuple(kinds),
        frozenset(table["types"]),
        _codes(table["dissent"]["codes"]),
        words_pattern(table["dissent"]["words"]),
        frozenset(table["dissent"]["types"]),
        words_pattern(table["dissent"]["withdrawn"]),
        words_pattern(table["third-party"]),
    )


class Placement:
    """The place of each fact of a record. `by_type` are its facts; `valid` are their valid statements by id.

    `by_place` are the facts of each place, `places` is the place of each such fact by its id, and `in_section_of_type`
    are all others by type.
    """

    def __init__(
        self,
        by_type: Mapping[str, Sequence[Fact]],
        valid: Mapping[str, Sequence[Statement]],
        plan_codes: frozenset[Code],
    ) -> None:
        self.by_place: dict[str, list[Fact]] = {}
        self.places: dict[str, str] = {}
        for kind in sorted(by_type):
            for fact in by_type[kind]:
                if place := place_of(kind, [each.content for each in valid[fact.id]], plan_codes):
                    self.places[fact.id] = place
                    self.by_place.setdefault(place, []).append(fact)
        self.in_section_of_type = {
            kind: [fact for fact in facts if fact.id not in self.places] for kind, facts in by_type.items()
        }


def place_of(resource_type: str, contents: Sequence[Mapping[str, Any]], plan_codes: frozenset[Code]) -> str:
    """The place of a fact with these contents: `PLAN`, `ALERT`, `DISSENT`, or "" for the section of its type."""
    if resource_type in PLAN_TYPES and any(_is_plan(resource_type, content, plan_codes) for content in contents):
        return PLAN
    if resource_type in places().dissent_types and any(_is_dissent(resource_type, content) for content in contents):
        return DISSENT
    if resource_type == "Flag":
        return ALERT
    if resource_type in places().types and any(map(_is_alert, contents)):
        return ALERT
    return ""


@read_once
def alert_kind(content: Mapping[str, Any]) -> AlertKind | None:
    """The first kind of alerts that a resource is of; None if it is of none."""
    found = [_kind_by_code(concept_at(content, name)) for name in ("code", "category") if name in content]
    by_code = min((kind for kind in found if kind), key=lambda kind: kind.rank, default=None)
    if by_code or "code" not in content:
        return by_code or _kind_of_names(_names(content))
    return _kind_of_concept(concept_at(content, "code"))


@read_once
def _kind_by_code(concept: CodedConcept) -> AlertKind | None:
    known = places().by_code
    return min((known[code] for code in concept.codes if code in known), key=lambda kind: kind.rank, default=None)


@read_once
def _kind_of_concept(concept: CodedConcept) -> AlertKind | None:
    return _kind_of_names(concept.names)


def _kind_of_names(names: Iterable[str]) -> AlertKind | None:
    return next((kind for name in names if (kind := _kind_by_words(name))), None)


def _is_alert(content: Mapping[str, Any]) -> bool:
    if alert_kind(content) is None:
        return False
    return content.get("valueBoolean") is not False and not is_denied_by_value(content)


def is_dissent_withdrawn(content: Mapping[str, Any]) -> bool:
    """Whether the name of an objection says that the person took it back."""
    return any(places().dissent_withdrawn.search(small_letters(name)) for name in _names(content))


def is_of_third_party(content: Mapping[str, Any]) -> bool:
    """Whether the name of a resource makes it a statement from or about somebody else."""
    return any(places().third_party.search(small_letters(name)) for name in _names(content))


@cache_texts(4096)
def _kind_by_words(name: str) -> AlertKind | None:
    letters = small_letters(name)
    for kind in places().kinds:
        if kind.words and (found := kind.words.search(letters)) and not denies(letters, found.start(), found.end()):
            return kind
    return None


@cache_texts(4096)
def _dissents_by_words(name: str) -> bool:
    return places().dissent_words.search(small_letters(name)) is not None


def _is_plan(resource_type: str, content: Mapping[str, Any], plan_codes: frozenset[Code]) -> bool:
    for element in _PLAN_ELEMENTS:
        if element in content and not concept_at(content, element).codes.isdisjoint(plan_codes):
            return True
    if not_performed_decision(content) is not None:
        return resource_type in merge_rules().plan_elements
    return is_plan_by_words(resource_type, content)


def _is_dissent(resource_type: str, content: Mapping[str, Any]) -> bool:
    if resource_type == "Consent":
        known = places().dissent_codes
        scopes = {code for _, code in codes_of(content, "scope")} or {""}
        denies = text_at(content, "provision", "type") == "deny" or codes_of(content, "policyRule") & known
        return bool(denies and scopes & _PRIVACY)
    return _names_dissent(concept_at(content, "code")) or ("code" not in content and _dissents(_names(content)))


@read_once
def _names_dissent(concept: CodedConcept) -> bool:
    return not concept.codes.isdisjoint(places().dissent_codes) or _dissents(concept.names)


def _dissents(names: Iterable[str]) -> bool:
    return any(map(_dissents_by_words, names))


@read_once
def _names(content: Mapping[str, Any]) -> tuple[str, ...]:
    if "code" in content:
        return concept_at(content, "code").names or concept_at(content, "code").texts
    if content.get("resourceType") in _DOCUMENTS:
        names = [name for path in _TITLES for name in values_at(content, *path)]
    elif "title" in content or "category" in content:
        names = [text_at(content, "title"), *concept_texts(content, "category")]
    else:
        return ()
    return tuple(dict.fromkeys([name for name in names if isinstance(name, str)]))


def _codes(written: Sequence[object]) -> frozenset[Code]:
    split = (str(each).rpartition("|") for each in written)
    return frozenset((system or _SNOMED, code) for system, _, code in split)


@dataclass(frozen=True, slots=True)
class SummaryCodes:
    """The codes of `schemas/summary/codes.yaml`, with the plans and "none known" codes of `schemas/merge/`.

    `lists` are the codes of a source's List for each section that can state "none known".
    """

    about_me: frozenset[Code]
    about_me_titles: tuple[str, ...]
    plans: frozenset[Code]
    lists: Mapping[str, frozenset[Code]]
    long_results: frozenset[Code]
    long_result_words: tuple[str, ...]
    pregnancy: frozenset[Code]
    social_history: frozenset[Code]
    languages: frozenset[str]
    none_known: frozenset[Code]


@clinical_table
def summary_codes() -> SummaryCodes:
    """The codes, read once from the files."""
    table = read_clinical_data("summary/codes")
    denials = read_clinical_data("merge/none-known")
    emergency = read_clinical_data("merge/plans")
    return SummaryCodes(
        about_me=_codes(table["about-me"]),
        about_me_titles=tuple(table["about-me-titles"]),
        plans=_codes(table["plans"]) | {(each["system"], each["code"]) for each in emergency["codes"]},
        lists={name: _codes(codes) for name, codes in table["lists"].items()},
        long_results=_codes(table["long-results"]),
        long_result_words=tuple(table["long-result-words"]),
        pregnancy=_codes(table["pregnancy"]),
        social_history=_codes(table["social-history"]),
        languages=frozenset(table["languages"]),
        none_known=frozenset(
            (each["system"], each["code"]) for codes_of_type in denials.values() for each in codes_of_type
        ),
    )


class _Denials(NamedTuple):
    before: re.Pattern[str]
    after: re.Pattern[str]
    anywhere: re.Pattern[str]
    values: frozenset[str]
    begins: tuple[str, ...]


@clinical_table
def _denials() -> _Denials:
    table = read_clinical_data("summary/alerts")["not"]
    return _Denials(
        # A clause ends at a dash between spaces and at other marks: "no lone visits - violent patient" is an alert.
        re.compile(rf"{words_pattern(table['before']).pattern}(?: [a-z0-9'/]++){{0,5}} ?$"),
        re.compile(rf"^(?: (?!not?\b)[a-z]++){{0,2}}[\s:;,.=()-]*{words_pattern(table['after']).pattern}[\s.)]*$"),
        words_pattern(table["anywhere"]),
        frozenset(table["values"]),
        tuple(table["value-begins"]),
    )


def denies(letters: str, start: int, end: int) -> bool:
    """Whether a name in small letters denies the words that stand in it from `start` to `end`."""
    denials, before, after = _denials(), letters[:start], letters[end:]
    if denials.before.search(before) or denials.after.search(after):
        return True
    return denials.anywhere.search(f"{before}|{after}") is not None


def is_denied_by_value(content: Mapping[str, Any]) -> bool:
    """Whether the value of an Observation denies what its name says."""
    stated = text_at(content, "valueString") or concept_text(content.get("valueCodeableConcept"))
    letters = small_letters(stated).rstrip(".") if stated else ""
    return letters in _denials().values or letters.startswith(_denials().begins)
