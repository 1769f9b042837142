"""Confidential marks of lines; and the numbers of key safes and doors, which no page and no document holds.

The words are those of `schemas/summary/confidentiality.yaml`. The record itself keeps the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.summary.places import alert_kind, is_of_third_party
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.json import Code, objects_at, text_at

_NUMBER = r"(?!0[0-9]{3,4} ?[0-9]{3} ?[0-9]{3})[#*]?[a-z]?(?:[0-9][ -]?){2,8}[0-9][a-z#*]?(?![0-9])"
_ANSWERS = ("valueString", "valueInteger", "valueDecimal", "valueQuantity")
_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_BETWEEN = r"[^0-9<]{0,30}?"


class _Access(NamedTuple):
    words: tuple[str, ...]
    before: re.Pattern[str]
    after: re.Pattern[str]
    held: str


@clinical_table
def _access() -> _Access:
    table = read_clinical_data("summary/confidentiality")
    words = tuple(table["access"])
    either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return _Access(
        words,
        re.compile(rf"((?<![a-z0-9])(?:{either}){_BETWEEN})(?<![0-9]){_NUMBER}", re.I),
        re.compile(rf"(?<![0-9a-z]){_NUMBER}((?: is)?(?: the)?(?: for(?: the)?)? (?:{either})(?![a-z]))", re.I),
        table["access-held"],
    )


def hide_access_codes(narrative: str) -> str:
    """The narrative with each number that stands beside a word for a key safe or a door replaced."""
    access, letters = _access(), narrative.lower()
    if not any(word in letters for word in access.words):
        return narrative
    hidden = access.after.sub(rf"{access.held}\1", narrative)
    return access.before.sub(rf"\1{access.held}", hidden)


@cache_texts(4096)
def names_access(name: str) -> bool:
    """Whether a name is that of a key safe or a door, so that its value is a number that opens it."""
    letters = name.lower()
    return any(word in letters for word in _access().words)


def access_held() -> str:
    """The words that stand for a number that opens a door."""
    return _access().held


Resources = Mapping[str, tuple[str, bytes]]


def hide_in_resources(resources: Resources) -> Resources:
    """The resources as JSON, by id with their type, without the numbers; most are returned as they are."""
    words = [word.encode() for word in _access().words]
    # One look at all of them is much faster than one at each.
    whole = b"".join([content for _, content in resources.values()]).lower()
    if not any(word in whole for word in words):
        return resources
    return {shared_id: (kind, hide_in_resource(content)) for shared_id, (kind, content) in resources.items()}


def hide_in_resource(content: bytes) -> bytes:
    """A resource as JSON without the numbers. Decimals keep their digits."""
    letters = content.lower()
    if not any(word.encode() in letters for word in _access().words):
        return content
    stated = _decoder.decode(content)
    hidden = hide_access_values(stated)
    return content if hidden == stated else _encoder.encode(hidden)


def hide_access_values(value: Any, *, is_access: bool = False) -> Any:
    """A JSON value with each number hidden: those within texts, and answers to what is named as a key safe or door."""
    if isinstance(value, str):
        return hide_access_codes(value) if " " in value else value
    if isinstance(value, list):
        return [hide_access_values(each, is_access=is_access) for each in value]
    if not isinstance(value, dict):
        return value
    is_access = is_access or any(names_access(said) for said in _own_names(value))
    hidden = {}
    for key, each in value.items():
        if is_access and key in _ANSWERS:
            hidden["valueString"] = access_held()
        else:
            hidden[key] = hide_access_values(each, is_access=is_access)
    return hidden


def _own_names(value: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of a coded element, of an item of a questionnaire and the like."""
    for each in (value.get("code"), value.get("category"), value):
        for holder in each if isinstance(each, list) else [each]:
            if isinstance(holder, Mapping):
                yield from (said for key in ("text", "title", "display") if isinstance(said := holder.get(key), str))
                yield from (
                    said for coding in objects_at(holder, "coding") if isinstance(said := coding.get("display"), str)
                )


_CONFIDENTIALITY = "confidentiality"
_RESTRICTED = ("RESTRICTED", "VERY RESTRICTED")
_ALERT_TYPES = frozenset(
    [
        "CarePlan",
        "Composition",
        "Condition",
        "DetectedIssue",
        "DocumentReference",
        "Flag",
        "Observation",
        "Procedure",
        "RiskAssessment",
    ]
)


class Labels(NamedTuple):
    """The mark of each label, the codes that the copy for the person leaves out, and the mark of an alert."""

    marks: Mapping[Code, str]
    by_code: Mapping[str, str]
    left_out: frozenset[str]
    alert: str


@clinical_table
def labels() -> Labels:
    """The labels, read once from the file."""
    table = read_clinical_data("summary/confidentiality")
    marks = {(system, code): words for system, codes in table["labels"].items() for code, words in codes.items()}
    by_code = {code: words for (_, code), words in marks.items()}
    return Labels(marks, by_code, frozenset(table["left-out"]), table["alert"])


def marks(contents: Sequence[Mapping[str, Any]]) -> list[str]:
    """The marks of a line with these contents, each once, as plain text."""
    found: dict[str, None] = {}
    for content in contents:
        found.update(dict.fromkeys(_label_marks(content)))
    if any(map(_is_hidden_alert, contents)):
        # One mark says all of it.
        return [labels().alert, *[mark for mark in found if mark.startswith(_RESTRICTED)]]
    return list(found)


def short_mark(contents: Sequence[Mapping[str, Any]]) -> str:
    """The marks of the labels in short, for a name within a sentence: ` [RESTRICTED]`; "" if there are none."""
    found = dict.fromkeys(mark.partition(":")[0] for content in contents for mark in _label_marks(content))
    return f" [{', '.join(found)}]" if found else ""


def is_left_out(content: Mapping[str, Any]) -> bool:
    """Whether the copy for the person leaves this resource out."""
    codes = {text_at(label, "code").strip().upper() for label in _security(content)}
    if codes & labels().left_out or content.get("resourceType") == "RelatedPerson":
        return True
    return _is_hidden_alert(content) or is_of_third_party(content)


def _security(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    meta = content.get("meta")
    return objects_at(meta, "security") if isinstance(meta, dict) and "security" in meta else []


def _label_marks(content: Mapping[str, Any]) -> Iterable[str]:
    for label in _security(content):
        system, code = text_at(label, "system"), text_at(label, "code").upper()
        known = labels().marks.get((system, code))
        # A source may write the system in another way.
        by_code = next(
            (words for (_, each), words in labels().marks.items() if each == code and each in ("R", "V")), ""
        )
        if found := known or (by_code if _CONFIDENTIALITY in system.casefold() or not system else ""):
            yield found


def _is_hidden_alert(content: Mapping[str, Any]) -> bool:
    if content.get("resourceType") not in _ALERT_TYPES:
        return False
    kind = alert_kind(content)
    return kind is not None and kind.not_for_person
