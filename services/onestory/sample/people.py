"""The invented people. Person i of a seed is the same person however many people there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Literal

from onestory.sample import calendar, names
from onestory.sample.chance import stream
from onestory.sample.network import PRACTICES, Source
from onestory.sample.nhs_numbers import numbers_of
from onestory.sample.troubles import troubles_of

Age = Literal["child", "adult", "frail"]


@dataclass(frozen=True, slots=True)
class Person:
    """What is true of a person, before any system says it in its own way."""

    seed: int
    index: int
    nhs_number: str
    superseded: str
    """The number that this person had before; empty for nearly everyone."""
    family: str
    given: str
    gender: Literal["female", "male"]
    born: date
    died: date | None
    age: Age
    practice: Source
    former_practice: Source | None
    """Where this person was registered before `moved`; None for nearly everyone."""
    moved: date | None
    """The first day of the registration with `practice`, where another one was before it."""
    address: tuple[str, str]
    """Street and town."""
    postcode: str
    phone: str
    weight: float
    """Kilograms, about."""
    protected: bool
    """Address and practice must not be shown (v3-Confidentiality R on the Patient)."""
    troubles: tuple[str, ...]
    """Which difficulties of real data this person shows; the names are in `troubles`."""

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


def person(seed: int, index: int) -> Person:
    """Person `index` of this seed. Raises `ValueError` past the largest population."""
    chance = stream(seed, "person", index)
    troubles = troubles_of(index)
    current, former = numbers_of(seed, index)
    gender: Literal["female", "male"] = "female" if chance.random() < 0.52 else "male"
    given, family = _name(chance, gender)
    age = _age(chance, troubles)
    return Person(
        seed=seed,
        index=index,
        nhs_number=current,
        superseded=former if "superseded-number" in troubles else "",
        family=family,
        given=given,
        gender=gender,
        born=calendar.days_ago(_days_lived(chance, age)),
        died=calendar.days_ago(chance.randrange(6, 14)) if "deceased" in troubles else None,
        age=age,
        practice=PRACTICES[index % len(PRACTICES)],
        former_practice=PRACTICES[(index + 1) % len(PRACTICES)] if "moved-practice" in troubles else None,
        moved=_moved(seed, index) if "moved-practice" in troubles else None,
        address=(f"{chance.randrange(1, 180)} {chance.choice(names.STREETS)}", chance.choice(names.TOWNS)),
        postcode=f"ZZ99 {chance.randrange(10)}{''.join(chance.choice(names.POSTCODE_LETTERS) for _ in 'ab')}",
        phone=_phone(chance),
        weight=chance.uniform(14, 52) if age == "child" else chance.uniform(48, 96),
        protected="protected-address" in troubles,
        troubles=troubles,
    )


def _name(chance: Random, gender: str) -> tuple[str, str]:
    (culture,) = chance.choices(names.NAMES, weights=[culture.weight for culture in names.NAMES])
    return chance.choice(culture.female if gender == "female" else culture.male), chance.choice(culture.family)


_NOT_OF_CHILDREN = ("sensitive", "very-restricted", "care-package", "conflict-dose", "conflict-condition")


def _age(chance: Random, troubles: tuple[str, ...]) -> Age:
    drawn: Age = "frail" if (roll := chance.random()) < 0.4 else "adult" if roll < 0.85 else "child"
    if "resuscitation" in troubles or "deceased" in troubles:
        return "frail"
    if "safeguarding" in troubles:
        return "child"
    return "adult" if drawn == "child" and any(name in _NOT_OF_CHILDREN for name in troubles) else drawn


def _days_lived(chance: Random, age: Age) -> int:
    youngest, eldest = {"child": (2, 17), "adult": (19, 70), "frail": (76, 99)}[age]
    return chance.randrange(youngest * 366, eldest * 365)


def _moved(seed: int, index: int) -> date:
    return calendar.days_ago(stream(seed, "moved", index).randrange(100, 300))


def _phone(chance: Random) -> str:
    """From the numbers that Ofcom keeps for drama."""
    return f"{chance.choice(('01632 960', '07700 900'))}{chance.randrange(1000):03d}"
