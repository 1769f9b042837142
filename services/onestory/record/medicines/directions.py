"""Reads dose directions that are written in words, such as "One To Be Taken Each Morning" or "40mg Oral OM".

The words are in `schemas/merge/directions.yaml`. Directions that say something which is not read ("as directed",
"reduce slowly") are unclear: they give no dose, and a caller must show them as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.clinical_data import alternatives, clinical_table, read_clinical_data
from onestory.record.text_cache import cache_texts

Times = tuple[float, float]
"""Times per day, least and most: once a week is 1/7."""


class Amount(NamedTuple):
    """An amount, least and most. `kind`: mass (micrograms), volume (ml), unit, count (tablets, puffs), or another."""

    kind: str
    low: float
    high: float


class Dose(NamedTuple):
    """One dose. `amounts` are expressions of one amount: 4 tablets, 10 mg. `times` is None if it is not stated."""

    amounts: frozenset[Amount] = frozenset()
    times: Times | None = None
    slots: frozenset[str] = frozenset()
    weekdays: frozenset[str] = frozenset()


Step = tuple[Dose, ...]
"""The doses of one time: one in the morning and two at night."""


class Regimen(NamedTuple):
    """Directions as steps that follow each other. `as_needed` and `continuous` are None if nothing was read of them.

    `sides`: the sides of the eyes, ears or nostrils that they name: `left`, `right`, `both`.
    """

    steps: tuple[Step, ...] = ()
    as_needed: bool | None = None
    continuous: bool | None = None
    unclear: bool = False
    sides: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Words:
    numbers: Mapping[str, str]
    number: re.Pattern[str]
    units: Mapping[str, tuple[str, float]]
    phrases: Mapping[str, tuple[str, Any]]
    token: re.Pattern[str]
    ignored: re.Pattern[str]


_NUMBER = r"\d+(?:\.\d+)?"
_PERIOD_DAYS = {"h": 1 / 24, "d": 1, "w": 7, "m": 30, "y": 365}
_FRACTIONS = ((r"(\d) ?1/2\b", r"\1.5"), (r"\b1/2\b", "0.5"), (r"\b1/4\b", "0.25"), (r"\b3/4\b", "0.75"))


@clinical_table
def _words() -> _Words:
    data = read_clinical_data("merge/directions")
    numbers = {word: f"{value:g}" for value, words in data["numbers"].items() for word in words}
    units = {
        word: (kind, float(factor))
        for kind, factors in data["units"].items()
        for factor, words in factors.items()
        for word in words
    }
    phrases: dict[str, tuple[str, Any]] = {}
    for each in data["frequencies"]:
        times = each["times"] / each["days"]
        phrases |= dict.fromkeys(each["words"], ("times", (times, times)))
    for kind in ("slots", "weekdays"):
        phrases |= {word: (kind, name) for name, words in data[kind].items() for word in words}
    for kind in ("as_needed", "continuous", "steps", "unclear"):
        phrases |= dict.fromkeys(data[kind], (kind, True))
    return _Words(
        numbers,
        re.compile(rf"(?<![\w.])(?:{alternatives(numbers)})(?![\w])"),
        units,
        phrases,
        _token_pattern(units, phrases),
        re.compile("|".join(data["ignored"])),
    )


def _token_pattern(units: Mapping[str, object], phrases: Mapping[str, object]) -> re.Pattern[str]:
    unit = rf"(?:{alternatives(units)})(?!\w)"
    span = rf"{_NUMBER}(?:\s*(?:-|to|or)\s*{_NUMBER})?"
    return re.compile(
        "|".join(
            (
                rf"(?:\bevery|\bq)\s*(?P<every>{span})\s*-?\s*(?P<every_unit>hours?|hrs?|h|days?|weeks?|months?)\b",
                rf"(?P<hourly>{span})\s*-?\s*hourly\b",
                rf"(?:\bx\s*(?P<times>{_NUMBER})|(?P<often>{span})\s*(?:x|times))\s*(?:a|per|each|every|/)?\s*"
                r"(?P<often_unit>day|daily|week|weekly|month|monthly)\b",
                r"(?P<clock>\d{1,2}(?:[:.]\d\d)?\s*[ap]\.?m\b)",
                rf"(?P<pieces>{_NUMBER})\s*x?\s+(?P<piece>{_NUMBER})\s*(?P<piece_unit>mg|g|microgram|micrograms|mcg)"
                rf"(?!\w)(?:\s*(?:{unit}))?",
                rf"(?P<low>{_NUMBER})\s*(?P<low_unit>{unit})?(?:\s*(?:-|to|or)\s*(?P<high>{_NUMBER}))?"
                rf"\s*(?P<unit>{unit})?",
                rf"(?<!\w)(?P<phrase>{alternatives(phrases)})(?!\w)",
                r"(?P<night>\bon\b(?=\s*(?:$|[.,;)]|prn\b|for\b|then\b|when\b|if\b)))",
                r"(?P<mark>[()])",
                r"\w+",
            )
        )
    )


@cache_texts(8192)
def read_directions(written: str) -> Regimen:
    """The regimen that the words describe. Words that are not known are skipped; unclear ones give no dose."""
    words = _words()
    reader = _Reader()
    for found in words.token.finditer(_normalised(written, words)):
        reader.read(found)
    return reader.regimen()


def unit_of(*names: str) -> tuple[str, float] | None:
    """The kind and the factor of the first unit that is known, such as mass and 1000 for mg."""
    units = _words().units
    return next((units[name.casefold()] for name in names if name.casefold() in units), None)


def _normalised(written: str, words: _Words) -> str:
    text = " ".join(written.casefold().replace("(s)", "").replace("\u2013", "-").replace("\u2014", "-").split())
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    for pattern, replacement in _FRACTIONS:
        text = re.sub(pattern, replacement, text)
    text = words.number.sub(lambda found: words.numbers[found[0]], text)
    text = re.sub(r"(?<=\d)(?=[a-zµμ])", " ", text)
    return words.ignored.sub(" ", text)


class _Part:
    """A dose that is being read."""

    def __init__(self) -> None:
        self.amounts: set[Amount] = set()
        self.bare = True
        self.times: set[Times] = set()
        self.slots: set[str] = set()
        self.weekdays: set[str] = set()

    @property
    def timed(self) -> bool:
        return bool(self.times or self.slots or self.weekdays)

    def often(self) -> Times | None:
        """Times per day; None if nothing is stated. Raises ValueError if two statements differ."""
        days = len(self.weekdays) / 7
        stated = {times for times in self.times if not (days and times[1] < 1)}
        if len(stated) > 1 or (stated and len(self.slots) > 1 and next(iter(stated)) != _each(len(self.slots))):
            raise ValueError
        if stated:
            low, high = next(iter(stated))
            return (low * days, high * days) if days else (low, high)
        if days:
            return _each(days * max(len(self.slots), 1))
        if self.times:
            return next(iter(self.times))
        return _each(len(self.slots)) if self.slots else None

    def dose(self) -> Dose:
        return Dose(frozenset(self.amounts), self.often(), frozenset(self.slots), frozenset(self.weekdays))


class _Reader:
    """Reads one token after the other."""

    def __init__(self) -> None:
        self._steps: list[list[_Part]] = [[_Part()]]
        self._in_brackets = False
        self._as_needed = False
        self._continuous = False
        self._unclear = False

    def read(self, found: re.Match[str]) -> None:
        groups = found.groupdict()
        part = self._steps[-1][-1]
        if every := groups["every"]:
            part.times.add(_intervals(every, groups["every_unit"]))
        elif hourly := groups["hourly"]:
            part.times.add(_intervals(hourly, "h"))
        elif often := groups["often"] or groups["times"]:
            days = _PERIOD_DAYS[groups["often_unit"][0]]
            low, high = _span(often)
            part.times.add((low / days, high / days))
        elif clock := groups["clock"]:
            part.slots.add("".join(clock.split()))
        elif groups["pieces"]:
            self._amount(_piece_amounts(groups), bare=False)
        elif groups["low"]:
            unit = groups["unit"] or groups["low_unit"]
            self._amount({_amount(groups["low"], groups["high"], groups["low_unit"] or unit, unit)}, bare=not unit)
        elif groups["night"]:
            part.slots.add("night")
        elif groups["mark"]:
            self._in_brackets = groups["mark"] == "("
        elif phrase := groups["phrase"]:
            self._phrase(part, *_words().phrases[phrase])

    def _phrase(self, part: _Part, kind: str, value: Any) -> None:
        if kind == "times":
            part.times.add(value)
        elif kind == "slots":
            part.slots.add(value)
        elif kind == "weekdays":
            part.weekdays.add(value)
        elif kind == "steps":
            self._steps.append([_Part()])
        elif kind == "as_needed":
            self._as_needed = True
        elif kind == "continuous":
            self._continuous = True
        else:
            self._unclear = True

    def _amount(self, amounts: set[Amount], *, bare: bool) -> None:
        part = self._steps[-1][-1]
        if part.amounts and part.timed and not self._in_brackets:
            part = _Part()
            self._steps[-1].append(part)
        if part.amounts and (bare or {each.kind for each in amounts} & {each.kind for each in part.amounts}):
            # A number that repeats a kind, as the strength in "1 tablet of 5 mg", must not become another dose.
            self._unclear |= not bare and not self._in_brackets
            return
        part.amounts |= amounts
        part.bare = part.bare and bare

    def regimen(self) -> Regimen:
        try:
            steps = tuple(step for parts in self._steps if (step := tuple(_doses(parts))))
        except ValueError:
            steps, self._unclear = (), True
        if self._unclear:
            steps = ()
        if not steps:
            return Regimen((), self._as_needed or None, self._continuous or None, self._unclear)
        timed = any(dose.times for step in steps for dose in step)
        as_needed = self._as_needed or (False if timed else None)
        return Regimen(steps, as_needed, self._continuous or (False if timed else None))


def _doses(parts: list[_Part]) -> Iterator[Dose]:
    timed = [part for part in parts if part.timed]
    if not timed:
        yield from (part.dose() for part in parts[:1] if part.amounts)
        return
    if any(part.amounts and not part.bare for part in parts if not part.timed):
        raise ValueError
    doses = [part.dose() for part in timed]
    amounts = {dose.amounts for dose in doses if dose.amounts}
    if len(doses) > 1 and len(amounts) == 1 and all(dose.times for dose in doses):
        # "One in the morning and one at night" is one, twice a day.
        low, high = (sum(dose.times[end] for dose in doses if dose.times) for end in (0, 1))
        slots = frozenset().union(*[dose.slots for dose in doses])
        yield Dose(amounts.pop(), (low, high), slots, frozenset().union(*[dose.weekdays for dose in doses]))
    else:
        yield from doses


def _each(times: float) -> Times:
    return float(times), float(times)


def _span(text: str) -> tuple[float, float]:
    numbers = [float(each) for each in re.findall(_NUMBER, text)]
    return min(numbers), max(numbers)


def _intervals(text: str, unit: str) -> Times:
    """How often "every 4-6 hours" is, per day. Raises ValueError for an interval of nothing."""
    low, high = _span(text)
    days = _PERIOD_DAYS[unit[0]]
    if not low:
        return 0.0, 0.0
    return 1 / (high * days), 1 / (low * days)


def _amount(low: str, high: str | None, low_unit: str | None, unit: str | None) -> Amount:
    units = _words().units
    kind, factor = units[unit] if unit else ("count", 1.0)
    low_factor = units[low_unit][1] if low_unit and units[low_unit][0] == kind else factor
    least = float(low) * low_factor
    return Amount(kind, least, float(high) * factor if high else least)


def _piece_amounts(groups: Mapping[str, str]) -> set[Amount]:
    pieces = float(groups["pieces"])
    kind, factor = _words().units[groups["piece_unit"]]
    mass = pieces * float(groups["piece"]) * factor
    return {Amount("count", pieces, pieces), Amount(kind, mass, mass)}
