"""Writes units, numbers and timings so that they cannot be misread: `10 units`, `1 mg`, `0.5 mg`, `ONCE A WEEK`.

The words are in `schemas/summary/notation.yaml`. No number changes its value. What is not in the
file stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import alternatives, clinical_table, read_clinical_data
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.json import number_text

_NUMBER = r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_BRACES = re.compile(r"\{([^{}]*)\}")


class _Notation(NamedTuple):
    """The data file, with its expressions compiled."""

    units: Mapping[str, tuple[str, str]]
    timings: Mapping[str, str]
    days: Mapping[str, str]
    unit_in_text: re.Pattern[str]
    trailing_zero: re.Pattern[str]
    leading_zero: re.Pattern[str]
    timing_after_dose: re.Pattern[str]
    as_required: re.Pattern[str]
    rare: re.Pattern[str]
    frequency: re.Pattern[str]
    frequencies: Mapping[str, str]
    times_of_day: re.Pattern[str]
    numbers: Mapping[str, str]
    when_required: re.Pattern[str]


@clinical_table
def _notation() -> _Notation:
    data = read_clinical_data("summary/notation")
    units: dict[str, tuple[str, str]] = {}
    for each in data["units"]:
        for written in (each["one"], each["many"], *each["written"]):
            units[written] = (each["one"], each["many"])
    in_text = [short for each in data["units"] for short in each.get("in_text", ())]
    dose_units = rf"\s*(?:{alternatives(data['dose_units'])})(?![\w&])"
    frequencies = {word: often for often, words in data["frequencies"].items() for word in words}
    return _Notation(
        units,
        data["timings"],
        data["days"],
        re.compile(rf"({_NUMBER})\s*({alternatives(in_text)})(?![\w&+])"),
        re.compile(rf"(?<![\w.,])(\d+)\.(?:0+|(\d*[1-9])0+)(?={dose_units})"),
        re.compile(rf"(?<![\w.,])\.(?=\d+{dose_units})"),
        re.compile(
            rf"({_NUMBER}{dose_units}(?:\s+(?i:{alternatives(data['routes'])}))?)\s+"
            rf"({alternatives(data['after_dose'])}|{alternatives(data['after_dose']).lower()})"
            rf"(?=\s*(?:$|[.,;)(/]|(?:{alternatives(data['timing_ends_before'])}|(?i:{alternatives(data['routes'])}))\b))"
        ),
        re.compile(rf"\b(?:{alternatives(data['as_required'])})\b"),
        re.compile(rf"\b(?:{alternatives(data['rare'])})\b", re.I),
        re.compile(rf"\b(?:{alternatives(frequencies)})\b"),
        frequencies,
        re.compile(rf"\b(?:{alternatives(data['times_of_day'])})\b"),
        data["numbers"],
        re.compile(rf"\b(?:{alternatives(data['when_required'])})\b"),
    )


@cache_texts(4096)
def unit_words(written: str, number: str = "") -> str:
    """A unit in words, in the plural unless the number is 1: `micrograms/hour`. Other units stay as they are."""
    first, *per = written.split("/")
    one, many = _unit(first)
    return "/".join([one if number == "1" else many, *(_unit(each)[0] for each in per)])


def _unit(written: str) -> tuple[str, str]:
    known = _notation().units.get(written) or _notation().units.get(written.lower() if written.isalpha() else "")
    # "U" and "ng" are read as they are written; only words such as "Tablet" in any case.
    if known and (written in _notation().units or len(written) > 3):
        return known
    plain = _BRACES.sub(r"\1", written)
    return plain, plain


def plain_number(number: Any) -> str:
    """A number of a dose: with a zero before the point, and none at its end (`0.5`, `1`)."""
    written = number_text(number)
    if written.startswith("."):
        written = f"0{written}"
    whole, point, decimals = written.partition(".")
    if not (point and whole.isdigit() and decimals.isdigit()):
        return written
    return f"{whole}.{kept}" if (kept := decimals.rstrip("0")) else whole


@cache_texts(8192)
def plain_notation(written: str) -> str:
    """A free text with its doses in plain notation: `10U` as `10 units`, `.5 mg` as `0.5 mg`, `10 mg OD` in words."""
    if not any(character.isdigit() for character in written):
        return written
    notation = _notation()
    text = notation.leading_zero.sub("0.", written)
    text = notation.trailing_zero.sub(lambda found: f"{found[1]}.{found[2]}" if found[2] else found[1], text)
    text = notation.timing_after_dose.sub(lambda found: f"{found[1]} {notation.timings[found[2].upper()]}", text)
    text = notation.as_required.sub(notation.timings["PRN"], text)
    return notation.unit_in_text.sub(lambda found: f"{found[1]} {unit_words(found[2], found[1])}", text)


def directions(written: str) -> str:
    """The directions of a dose in plain notation, with a rare frequency in capitals: `ONCE A WEEK`."""
    return _notation().rare.sub(lambda found: found[0].upper(), plain_notation(written))


def timing_word(code: str) -> str:
    """A code of a timing or of a day in words; anything else as it is."""
    notation = _notation()
    return notation.timings.get(code) or notation.days.get(code) or code


def is_timing_code(code: str) -> bool:
    """Whether the file has words for this code of a timing."""
    return code in _notation().timings


class Written(NamedTuple):
    """What free-text directions state: numbers as digits, frequencies such as `1 wk`, and if it is when required."""

    text: str
    numbers: frozenset[str]
    frequencies: frozenset[str]
    when_required: bool


@cache_texts(8192)
def read_written(directions_text: str) -> Written:
    """What directions in words state, so that coded elements which state the same are not repeated."""
    notation = _notation()
    text = directions_text.casefold()
    numbers = {plain_number(each) for each in re.findall(r"\d+(?:\.\d+)?", text)}
    numbers |= {notation.numbers[word] for word in re.findall(r"[a-z]+", text) if word in notation.numbers}
    stated = {notation.frequencies[found] for found in notation.frequency.findall(text)}
    if not stated and (times := len(set(notation.times_of_day.findall(text)))):
        stated = {f"{times} d"}
    return Written(text, frozenset(numbers), frozenset(stated), notation.when_required.search(text) is not None)
