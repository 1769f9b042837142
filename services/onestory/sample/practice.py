"""General practice: the registered practice's record, the longest that anyone keeps of the person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random

from onestory.sample import chance as sample_chance
from onestory.sample import codes as sample_codes
from onestory.sample import people
from onestory.sample.chance import stream
from onestory.sample.network import DEMOGRAPHICS
from onestory.sample.people import Person
from onestory.sample.resources import Case, Json, PublishedBundle
from onestory.sample.statements import (
    allergy,
    blood_pressure,
    condition,
    encounter,
    immunisation,
    measurement,
    prescription,
    registration,
    weighed,
)
from onestory.sample.story import Medicine, Story
from onestory.sample.voice import Voice, case, patient, transact, voice

FIRST_LOAD = 65
"""Days ago that a practice published its record for the first time."""


def practice_submissions(person: Person, told: Story) -> Iterator[PublishedBundle]:
    speaker = voice(person.practice, person)
    chance = stream(person.seed, "gp", person.index)
    yield _problem_list(speaker, told, chance)
    yield _contacts(speaker, told, chance)


def _problem_list(speaker: Voice, told: Story, chance: Random) -> PublishedBundle:
    at = sample_chance.moment(sample_chance.days_ago(FIRST_LOAD), chance)
    cases: list[Case] = []
    resources: list[Json] = []
    if speaker.manner.subject != "entry":
        resources.append(patient(speaker, at, verified=True))
    for place, problem in enumerate(told.problems):
        odd = people.TEXTS[speaker.person.index // 5 % len(people.TEXTS)] if place == 0 else ""
        note = odd if "unusual-text" in speaker.person.troubles else ""
        recorded = sample_chance.moment(problem.ended or problem.onset, chance)
        said = condition(speaker, f"problem-{place}", problem, recorded, note=note)
        resources.append(said)
        if note:
            cases.append(case(speaker, "unusual-text", said, "the note has text that careless code breaks"))
    for place, known in enumerate(told.allergies):
        resources.append(allergy(speaker, f"allergy-{place}", known, sample_chance.moment(known.since, chance)))
    resources += _prescriptions(speaker, told, chance)
    return transact(speaker, at, resources, cases=[*cases, *_personal(speaker)])


def _prescriptions(speaker: Voice, told: Story, chance: Random) -> Iterator[Json]:
    for place, medicine in enumerate(told.medicines):
        reason = speaker.reference("Condition", f"problem-{told.problems.index(medicine.reason)}")
        recorded = sample_chance.moment(medicine.stopped or medicine.since, chance)
        yield prescription(speaker, f"medicine-{place}", medicine, recorded, reason=reason)


def _contacts(speaker: Voice, told: Story, chance: Random) -> PublishedBundle:
    at = sample_chance.moment(sample_chance.days_ago(FIRST_LOAD - 1), chance)
    resources: list[Json] = []
    for place, day in enumerate(told.contacts):
        recorded = sample_chance.moment(day, chance)
        resources.append(encounter(speaker, f"contact-{place}", day, recorded, kind=sample_codes.FACE_TO_FACE))
        if speaker.person.age != "child":
            resources.append(blood_pressure(speaker, f"pressure-{place}", day, recorded, chance))
        resources.append(weighed(speaker, f"weight-{place}", day, recorded, chance))
    resources += _blood_tests(speaker, told, chance)
    for place, given in enumerate(told.vaccinations):
        resources.append(immunisation(speaker, f"vaccine-{place}", given, sample_chance.moment(given.day, chance)))
    return transact(speaker, at, resources)


def _blood_tests(speaker: Voice, told: Story, chance: Random) -> Iterator[Json]:
    if speaker.person.age == "child":
        return
    for turn, day in enumerate(told.contacts[:2]):
        recorded = sample_chance.moment(day, chance)
        for place, measure in enumerate(sample_codes.BLOOD_TESTS[:4]):
            yield measurement(speaker, f"blood-{turn}-{place}", measure, day, recorded, chance)


def _personal(speaker: Voice) -> Iterator[Case]:
    known = patient(speaker, sample_chance.moment(sample_chance.days_ago(FIRST_LOAD), stream("case")))
    if speaker.person.protected:
        yield case(speaker, "protected-address", known, "no address and no telecom; the Patient has security R")


# The practice that a person has left: it has ended the registration, and its repeat prescription stands as it was.

_REPEATS = (sample_codes.SALBUTAMOL, sample_codes.PARACETAMOL, sample_codes.AMLODIPINE)


def former_practice_submissions(person: Person, told: Story) -> Iterator[PublishedBundle]:
    """One transaction, of persons who have moved."""
    if person.former_practice is None or person.moved is None:
        return
    speaker, chance = voice(person.former_practice, person), stream(person.seed, "former-gp", person.index)
    at = sample_chance.moment(sample_chance.days_ago(FIRST_LOAD), chance)
    left = sample_chance.moment(person.moved, chance)
    since = person.moved - timedelta(days=chance.randrange(60, 300))
    ended = registration(speaker, "registration", since, person.moved - timedelta(days=1), left)
    known = {medicine.code for medicine in told.medicines}
    code = next(each for each in _REPEATS if each not in known)
    times_a_day = sample_codes.TIMES_A_DAY.get(code, 1)
    repeat = Medicine(code, told.problems[0], times_a_day, since + timedelta(days=20))
    ordered = prescription(speaker, "repeat", repeat, sample_chance.moment(repeat.since, chance))
    alone = [] if speaker.manner.subject == "entry" else [patient(speaker, at, verified=True)]
    note = f"active, though the person left this practice on {ended['period']['end']}"
    yield transact(speaker, at, [*alone, ended, ordered], cases=[case(speaker, "moved-practice", ordered, note)])


# The demographic authority: who the person is, where the person lives, and which NHS number is the right one.


def pds_submissions(person: Person) -> Iterator[PublishedBundle]:
    chance = stream(person.seed, "pds", person.index)
    if person.superseded:
        former = voice(DEMOGRAPHICS, person, nhs_number=person.superseded)
        before = sample_chance.moment(sample_chance.days_ago(chance.randrange(400, 900)), chance)
        yield transact(former, before, [patient(former, before, verified=True)])
    speaker = voice(DEMOGRAPHICS, person)
    at = sample_chance.moment(
        sample_chance.days_ago(chance.randrange(2, 6) if person.died else chance.randrange(5, 60)), chance
    )
    known = patient(speaker, at, verified=True, replaces=person.superseded)
    note = f"replaces {person.superseded}, under which the community team filed"
    cases = [case(speaker, "superseded-number", known, note)] if person.superseded else []
    yield transact(speaker, at, [known], cases=cases)
