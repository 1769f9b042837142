"""Reads a resource about a medicine into what is compared: product, regimen, kind of course, route."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onestory.record.medicines.directions import Regimen
from onestory.record.medicines.dmd import loaded_release
from onestory.record.medicines.names import lexicon, words_of
from onestory.record.medicines.own_stops import own_stop
from onestory.record.medicines.products import Product, read_product
from onestory.record.medicines.regimen import read_regimen
from onestory.record.merge.values import number, span
from onestory.shared.fhir.json import extensions, first_object, objects, text, text_at, values_at

_SYSTEMS = ("http://snomed.info/sct", "https://dmd.nhs.uk", "http://dmd.nhs.uk", "urn:oid:2.16.840.1.113883.")
"""How the names of SNOMED CT and of dm+d begin."""
ACUTE = "acute"
CONTINUOUS = "continuous"
_COURSES = {"acute": ACUTE, "continuous": CONTINUOUS, "repeat": CONTINUOUS, "repeat-dispensing": CONTINUOUS}
_SHORT_DAYS = 28
_DAYS = {"d": 1, "wk": 7, "day": 1, "days": 1, "week": 7, "weeks": 7, "h": 1 / 24}
_WRITTEN_DURATION = re.compile(
    r"\bfor (?:the next )?(\d+|one|two|three|four|five|six|seven|ten) (days?|weeks?)\b|\b\d+/7\b"
)
_MICROSECONDS_OF_A_DAY = 86_400_000_000


@dataclass(frozen=True)
class MedicineEntry:
    """One resource about a medicine; each part is read when it is first asked for."""

    content: Mapping[str, Any]

    @cached_property
    def product(self) -> Product:
        """The product, by the text, the displays and the dm+d codes of its concept."""
        return read_product(_names(self.content), _codes(self.content))

    @cached_property
    def name(self) -> str:
        """The first name of the medicine that the source gives; "" if there is none."""
        return next(_names(self.content), "")

    @cached_property
    def regimen(self) -> Regimen:
        """The regimen of its dosage."""
        found = read_regimen(self._directions)
        amounts = {amount.kind for step in found.steps for dose in step for amount in dose.amounts}
        if found.continuous and amounts <= {"count"} and own_stop(self.content):
            # "Removed, changed to a syringe driver" names the use of the next medicine. A date there reads as a count.
            return found._replace(continuous=None)
        return found

    @cached_property
    def course(self) -> str:
        """`acute`, `continuous`, or "" if neither is stated. A bounded time of at most four weeks is acute."""
        stated = [found for found in values_at(self.content, "courseOfTherapyType", "coding", "code") if found]
        for ending in ("PrescriptionType", "PrescriptionType-1"):
            stated += [
                text_at(one, "valueCodeableConcept", "coding", "code") for one in extensions(self.content, ending)
            ]
        kinds = [
            _COURSES[code] for found in stated if isinstance(found, str) and (code := found.casefold()) in _COURSES
        ]
        # "Two for three days, then one" goes on after the three days.
        short = len(self.regimen.steps) <= 1 and not self.regimen.unclear and self._is_short
        return kinds[0] if kinds else ACUTE if short else ""

    @cached_property
    def route(self) -> str:
        """The way that it is given, by its stated route, else by its form; "" if neither is known."""
        forms = lexicon().forms
        for dosage in objects(self._directions):
            concept = first_object(dosage.get("route"))
            names = [text(concept.get("text")), *[text(each.get("display")) for each in objects(concept.get("coding"))]]
            for word in (word for name in names for word in words_of(name)):
                if word in forms:
                    return forms[word]
        return self.product.form

    @property
    def _directions(self) -> object:
        return self.content.get("dosageInstruction", self.content.get("dosage"))

    @property
    def _is_short(self) -> bool:
        periods = [first_object(self.content.get("effectivePeriod"))]
        for dosage in objects(self._directions):
            repeat = first_object(first_object(dosage.get("timing")).get("repeat"))
            periods.append(first_object(repeat.get("boundsPeriod")))
            duration = first_object(repeat.get("boundsDuration"))
            days = _DAYS.get(text(duration.get("code")) or text(duration.get("unit")), 0)
            if 0 < (number(duration.get("value")) or 0) * days <= _SHORT_DAYS:
                return True
            if _WRITTEN_DURATION.search(text(dosage.get("text")).casefold()):
                return True
        return any(_is_short_period(period) for period in periods)

    @property
    def directions_text(self) -> str:
        """The directions in the words of the source, case folded; "" if there are none."""
        found = (" ".join(text(each.get("text")).casefold().split()) for each in objects(self._directions))
        return " ; ".join(each for each in found if each)


def concurrent(one: MedicineEntry, other: MedicineEntry) -> bool:
    """Whether two entries of one medicine are regimens that go on side by side, by what both of them state.

    They are of two uses, or are given by two routes.
    """
    return of_two_uses(one, other) or bool(one.route and other.route and one.route != other.route)


def of_two_uses(one: MedicineEntry, other: MedicineEntry) -> bool:
    """Regular and when required, a syringe driver and single doses, a short course over a continuous one."""
    if {one.course, other.course} == {ACUTE, CONTINUOUS}:
        return True
    mine, theirs = one.regimen, other.regimen
    if {mine.continuous, theirs.continuous} == {True, False} or (mine.continuous and theirs.as_needed):
        return True
    if theirs.continuous and mine.as_needed:
        return True
    return {mine.as_needed, theirs.as_needed} == {True, False}


def _names(content: Mapping[str, Any]) -> Iterator[str]:
    concept = first_object(content.get("medicationCodeableConcept"))
    if written := text(concept.get("text")).strip():
        yield written
    yield from (display for each in objects(concept.get("coding")) if (display := text(each.get("display")).strip()))


def _codes(content: Mapping[str, Any]) -> Iterator[str]:
    """The codes that have the form of a dm+d identifier. These are unique among all of SNOMED CT's."""
    if not loaded_release().virtual:
        return
    for each in objects(first_object(content.get("medicationCodeableConcept")).get("coding")):
        if text(each.get("system")).startswith(_SYSTEMS):
            yield text(each.get("code"))


def _is_short_period(period: Mapping[str, Any]) -> bool:
    start, end = span(period.get("start")), span(period.get("end"))
    return bool(start and end and 0 < end.before - start.since <= _SHORT_DAYS * _MICROSECONDS_OF_A_DAY)
