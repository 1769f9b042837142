"""Reads on which side a medicine for the eye, the ear or the nose is given, from directions and coded sites.

The words are those below `sites` in `schemas/merge/directions.yaml`. "OD", "OS" and "OU" are not read: in the UK "OD"
means once a day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import alternatives, clinical_table, read_clinical_data
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.fhir.json import concept_texts, text

_NO_SIDES: frozenset[str] = frozenset()


class _SiteWords(NamedTuple):
    words: re.Pattern[str]
    short: re.Pattern[str]
    side_of: Mapping[str, str]


@clinical_table
def _site_words() -> _SiteWords:
    data = read_clinical_data("merge/directions")
    side_of = {word: side for side, words in data["sites"].items() for word in words}
    short = {word: side for side, words in data["short_sites"].items() for word in words}
    return _SiteWords(
        re.compile(rf"(?<!\w)(?:{alternatives(side_of)})(?!\w)"),
        re.compile(rf"(?<![\w/])(?:{alternatives(short)})(?![\w/])"),
        {**side_of, **short},
    )


def sides_of(dosage: Mapping[str, Any]) -> frozenset[str]:
    """The sides that an instruction names: `left`, `right`, `both`. Empty if it names none."""
    written = [text(dosage.get(name)) for name in ("text", "patientInstruction")]
    if "site" in dosage:
        written += concept_texts(dosage, "site")
    found = frozenset().union(*[_sides_in(each) for each in written if each])
    # A left and a right in one instruction are both sides.
    return frozenset(["both"]) if {"left", "right"} <= found else found


@cache_texts(8192, read=MAX_READ_LENGTH)
def _sides_in(written: str) -> frozenset[str]:
    words = _site_words()
    found = [" ".join(each.split()) for each in words.words.findall(written.casefold())]
    if not found:
        found = words.short.findall(written)
    return frozenset(words.side_of[each] for each in found) or _NO_SIDES
