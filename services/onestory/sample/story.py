"""The true clinical facts of an invented person, from which each source states its own part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from onestory.sample import codes
from onestory.sample.chance import TODAY, days_ago, random_stream
from onestory.sample.codes import Code
from onestory.sample.people import Person


@dataclass(frozen=True, slots=True)
class Problem:
    code: Code
    onset: date
    ended: date | None = None


@dataclass(frozen=True, slots=True)
class Allergy:
    code: Code
    substance: Code | None
    reaction: Code | None
    severe: bool
    since: date


@dataclass(frozen=True, slots=True)
class Medicine:
    code: Code
    reason: Problem
    times_a_day: int
    since: date
    stopped: date | None = None


@dataclass(frozen=True, slots=True)
class Vaccination:
    code: Code
    day: date


@dataclass(frozen=True, slots=True)
class Story:
    problems: tuple[Problem, ...]
    allergies: tuple[Allergy, ...]
    medicines: tuple[Medicine, ...]
    vaccinations: tuple[Vaccination, ...]
    contacts: tuple[date, ...]
    """The days of contacts with the practice, latest first."""
    care: tuple[str, ...]
    """The kinds of source that know the person, besides practice and demographics."""


def make_story(person: Person) -> Story:
    """The same story for the same seed and index, always."""
    chance = random_stream(person.seed, "story", person.index)
    conditions = _problems(chance, person)
    return Story(
        problems=conditions,
        allergies=_allergies(chance, person),
        medicines=tuple(_medicines(chance, conditions)),
        vaccinations=_vaccinations(chance, person),
        contacts=tuple(sorted((_past_day(chance, person, 900) for _ in range(chance.randrange(3, 7))), reverse=True)),
        care=_care(chance, person),
    )


def _problems(chance: Random, person: Person) -> tuple[Problem, ...]:
    pool, most = {
        "frail": (codes.LONG_TERM_FRAIL, 7),
        "adult": (codes.LONG_TERM_ADULT, 4),
        "child": (codes.LONG_TERM_CHILD, 2),
    }[person.age]
    lasting = [
        Problem(code, _past_day(chance, person, 5000)) for code in chance.sample(pool, chance.randrange(2, most + 1))
    ]
    passing: list[Problem] = []
    for code in chance.sample(codes.SHORT_TERM, chance.randrange(1, 3)):
        onset = _past_day(chance, person, 1500)
        passing.append(Problem(code, onset, min(onset + timedelta(days=chance.randrange(7, 40)), days_ago(67))))
    return (*lasting, *passing)


def _allergies(chance: Random, person: Person) -> tuple[Allergy, ...]:
    since = _past_day(chance, person, 6000)
    penicillin = Allergy(codes.PENICILLIN_ALLERGY, codes.PENICILLIN, codes.RASH, False, since)
    if "conflict-allergy" in person.troubles or "complete-list" in person.troubles or chance.random() < 0.4:
        peanut = Allergy(codes.PEANUT_ALLERGY, None, codes.ANAPHYLAXIS, True, since)
        return (penicillin, peanut) if chance.random() < 0.3 else (penicillin,)
    if chance.random() < 0.3:
        return (Allergy(codes.ASPIRIN_ALLERGY, codes.ASPIRIN_SUBSTANCE, codes.BREATHLESSNESS, True, since),)
    return (Allergy(codes.NO_KNOWN_ALLERGY, None, None, False, since),)


def _medicines(chance: Random, conditions: tuple[Problem, ...]) -> list[Medicine]:
    medicines: list[Medicine] = []
    for problem in conditions:
        if choices := codes.MEDICINES_FOR.get(problem.code):
            code = chance.choice(choices)
            if all(medicine.code != code for medicine in medicines):
                medicines.append(Medicine(code, problem, codes.TIMES_A_DAY.get(code, 1), problem.onset, problem.ended))
    if not medicines:
        medicines.append(Medicine(codes.PARACETAMOL, conditions[0], 4, conditions[0].onset))
    return medicines


def _vaccinations(chance: Random, person: Person) -> tuple[Vaccination, ...]:
    if person.age == "child":
        return (Vaccination(codes.MMR_VACCINE, person.born + timedelta(days=360)),)
    day = date(2021, 3, 1) + timedelta(days=chance.randrange(90))
    winters = [Vaccination(codes.FLU_VACCINE, date(year, 10, chance.randrange(1, 31))) for year in (2024, 2025)]
    return (Vaccination(codes.COVID_VACCINE, day), *winters)


def _care(chance: Random, person: Person) -> tuple[str, ...]:
    likely = {
        "frail": {"community": 0.9, "social-care": 0.7, "mental-health": 0.2, "hospital": 0.9},
        "adult": {"community": 0.3, "social-care": 0.1, "mental-health": 0.3, "hospital": 0.6},
        "child": {"community": 0.6, "social-care": 0.0, "mental-health": 0.1, "hospital": 0.4},
    }[person.age]
    drawn = [kind for kind, share in likely.items() if chance.random() < share]
    needed = [kind for kind, troubles in _TROUBLES_NEEDING.items() if any(name in person.troubles for name in troubles)]
    return tuple(kind for kind in likely if kind in drawn or kind in needed)


_TROUBLES_NEEDING: dict[str, tuple[str, ...]] = {
    "community": ("superseded-number", "about-me", "safeguarding"),
    "social-care": ("care-package",),
    "mental-health": ("very-restricted", "sensitive"),
    "hospital": ("wrong-person", "conflict-allergy", "conflict-dose", "conflict-condition", "resuscitation"),
}


def _past_day(chance: Random, person: Person, furthest: int) -> date:
    """A day of the person's life, 70 to `furthest` days ago. Later days are free for later submissions."""
    lived = (TODAY - person.born).days
    return days_ago(chance.randrange(70, max(80, min(furthest, lived))))
