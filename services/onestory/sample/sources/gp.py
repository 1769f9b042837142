"""General practice: the registered practice's record, the longest that anyone keeps of the person."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from onestory.sample import awkward, calendar
from onestory.sample.bundles import Case, Submission
from onestory.sample.chance import stream
from onestory.sample.codes import findings
from onestory.sample.elements import Json
from onestory.sample.patients import patient
from onestory.sample.people import Person
from onestory.sample.publishing import case, transact
from onestory.sample.statements import (
    allergy,
    blood_pressure,
    condition,
    encounter,
    immunisation,
    measurement,
    prescription,
    weighed,
)
from onestory.sample.story import Story
from onestory.sample.voice import Voice, voice

FIRST_LOAD = 65
"""Days ago that a practice published its record for the first time."""


def submissions(person: Person, told: Story) -> Iterator[Submission]:
    speaker = voice(person.practice, person)
    chance = stream(person.seed, "gp", person.index)
    yield _problem_list(speaker, told, chance)
    yield _contacts(speaker, told, chance)


def _problem_list(speaker: Voice, told: Story, chance: Random) -> Submission:
    at = calendar.moment(calendar.days_ago(FIRST_LOAD), chance)
    cases: list[Case] = []
    resources: list[Json] = []
    if speaker.manner.subject != "entry":
        resources.append(patient(speaker, at, verified=True))
    for place, problem in enumerate(told.problems):
        odd = awkward.TEXTS[speaker.person.index // 5 % len(awkward.TEXTS)] if place == 0 else ""
        note = odd if "unusual-text" in speaker.person.troubles else ""
        recorded = calendar.moment(problem.ended or problem.onset, chance)
        said = condition(speaker, f"problem-{place}", problem, recorded, note=note)
        resources.append(said)
        if note:
            cases.append(case(speaker, "unusual-text", said, "the note has text that careless code breaks"))
    for place, known in enumerate(told.allergies):
        resources.append(allergy(speaker, f"allergy-{place}", known, calendar.moment(known.since, chance)))
    resources += _prescriptions(speaker, told, chance)
    return transact(speaker, at, resources, cases=[*cases, *_personal(speaker)])


def _prescriptions(speaker: Voice, told: Story, chance: Random) -> Iterator[Json]:
    for place, medicine in enumerate(told.medicines):
        reason = speaker.reference("Condition", f"problem-{told.problems.index(medicine.reason)}")
        recorded = calendar.moment(medicine.stopped or medicine.since, chance)
        yield prescription(speaker, f"medicine-{place}", medicine, recorded, reason=reason)


def _contacts(speaker: Voice, told: Story, chance: Random) -> Submission:
    at = calendar.moment(calendar.days_ago(FIRST_LOAD - 1), chance)
    resources: list[Json] = []
    for place, day in enumerate(told.contacts):
        recorded = calendar.moment(day, chance)
        resources.append(encounter(speaker, f"contact-{place}", day, recorded, kind=findings.FACE_TO_FACE))
        if speaker.person.age != "child":
            resources.append(blood_pressure(speaker, f"pressure-{place}", day, recorded, chance))
        resources.append(weighed(speaker, f"weight-{place}", day, recorded, chance))
    resources += _blood_tests(speaker, told, chance)
    for place, given in enumerate(told.vaccinations):
        resources.append(immunisation(speaker, f"vaccine-{place}", given, calendar.moment(given.day, chance)))
    return transact(speaker, at, resources)


def _blood_tests(speaker: Voice, told: Story, chance: Random) -> Iterator[Json]:
    if speaker.person.age == "child":
        return
    for turn, day in enumerate(told.contacts[:2]):
        recorded = calendar.moment(day, chance)
        for place, measure in enumerate(findings.BLOOD_TESTS[:4]):
            yield measurement(speaker, f"blood-{turn}-{place}", measure, day, recorded, chance)


def _personal(speaker: Voice) -> Iterator[Case]:
    known = patient(speaker, calendar.moment(calendar.days_ago(FIRST_LOAD), stream("case")))
    if speaker.person.protected:
        yield case(speaker, "protected-address", known, "no address and no telecom; the Patient has security R")
