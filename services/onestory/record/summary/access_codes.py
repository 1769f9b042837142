"""Hides the numbers of key safes and doors in a page. The words are those of `schemas/summary/confidentiality.yaml`."""

from __future__ import annotations

import re
from typing import NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.text_cache import cache_texts

_NUMBER = r"(?!0[0-9]{3,4} ?[0-9]{3} ?[0-9]{3})[#*]?[a-z]?(?:[0-9][ -]?){2,8}[0-9][a-z#*]?(?![0-9])"
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
