"""Finds in the notes of a medicine which other medicines it stops or pauses: "Switched from warfarin. STOP WARFARIN."

The words are in `schemas/merge/stop-notes.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from onestory.record.clinical_data import alternatives, clinical_table, read_clinical_data
from onestory.record.medicines.names import lexicon, named_medicines, words_of
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.json import concept_texts, objects, text

_CLAUSES = re.compile(
    r"[;\n]|[.,](?!\d)|(?<=\breplaced by\b)|(?<=\breplaced with\b)|(?<=\binstead use\b)"
    r"|\b(?:start|started|starting|commence|commenced|continue|switched to|changed to)\b"
    r"|\band\b(?=.{0,200}?\b(?:start|started|commence|commenced|continue|continued|given)\b)"
)
"""Where what a note stops ends: "Simvastatin stopped and atorvastatin started"."""
_REACH = 5
"""Words after, or before, a stop word in which the medicine is named."""


class StoppedMedicines(NamedTuple):
    """What a note stops: medicines by their ingredients, and forms ("capsules") of the medicine of the note itself."""

    ingredients: frozenset[str]
    forms: frozenset[str]


@clinical_table
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    data = read_clinical_data("merge/stop-notes")
    before, after, unless = (alternatives(data[name]) for name in ("before", "after", "unless"))
    return (
        re.compile(rf"\b(?:{before})\b(?P<rest>.*)"),
        re.compile(rf"\b(?:{after})\b"),
        re.compile(rf"\b(?:{unless})\b"),
    )


@clinical_table
def _class_members() -> Mapping[str, frozenset[str]]:
    members = {each.name: each.members for each in lexicon().classes}
    data = read_clinical_data("merge/stop-notes")
    return {word: members[name] for name, words in data["classes"].items() for word in words}


def members_of_class(name: str) -> frozenset[str]:
    """The ingredients of the classes that a name names: "NSAIDs" instead of a medicine."""
    words = words_of(name)
    return frozenset().union(*[_class_members().get(word, ()) for word in [*words, *map(" ".join, pairwise(words))]])


@clinical_table
def _forms() -> frozenset[str]:
    return frozenset(read_clinical_data("merge/stop-notes")["forms"])


def stopped_by(content: Mapping[str, Any]) -> StoppedMedicines:
    """What the notes, directions and reasons of a resource stop."""
    found = [read_note(written) for written in _texts(content)]
    return StoppedMedicines(
        frozenset().union(*[each.ingredients for each in found]),
        frozenset().union(*[each.forms for each in found]),
    )


def _texts(content: Mapping[str, Any]) -> Iterator[str]:
    for name in ("note", "dosageInstruction", "dosage"):
        for each in objects(content.get(name)):
            yield from (part for key in ("text", "patientInstruction") if (part := text(each.get(key))))
    yield from concept_texts(content, "statusReason")


def stop_notes(content: Mapping[str, Any]) -> list[str]:
    """The texts of a resource that stop a medicine, in the words of the source."""
    return [written for written in _texts(content) if any(read_note(written))]


def _before_each(pattern: re.Pattern[str], clause: str) -> Iterator[str]:
    """Yields what stands between one match and the next, in time that grows with the length of the clause."""
    end = 0
    for found in pattern.finditer(clause):
        yield clause[end : found.start()]
        end = found.end()


@cache_texts(8192)
def read_note(written: str) -> StoppedMedicines:
    """What the text stops or pauses without a condition."""
    before, after, unless = _patterns()
    ingredients: set[str] = set()
    forms: set[str] = set()
    for clause in _CLAUSES.split(written.casefold()):
        reach = [words_of(found["rest"])[:_REACH] for found in before.finditer(clause)]
        reach += [words_of(words)[-_REACH:] for words in _before_each(after, clause)]
        if not reach or unless.search(clause):
            continue
        for words in reach:
            named = list(named_medicines(words))
            ingredients.update(ingredient for name in named for ingredient in lexicon().names[name])
            pairs = [" ".join(pair) for pair in pairwise(words)]
            ingredients.update(*[_class_members().get(word, ()) for word in [*words, *pairs]])
            if not named:
                forms.update(word.rstrip("s") for word in words[:2] if word in _forms())
    return StoppedMedicines(frozenset(ingredients), frozenset(forms))
