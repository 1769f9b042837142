"""The practice that a person has left: it has ended the registration, and its repeat prescription stands as it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from onestory.sample import calendar
from onestory.sample.bundles import Submission
from onestory.sample.chance import stream
from onestory.sample.codes import treatments
from onestory.sample.patients import patient
from onestory.sample.people import Person
from onestory.sample.publishing import case, transact
from onestory.sample.sources.gp import FIRST_LOAD
from onestory.sample.statements import prescription, registration
from onestory.sample.story import Medicine, Story
from onestory.sample.voice import voice

_REPEATS = (treatments.SALBUTAMOL, treatments.PARACETAMOL, treatments.AMLODIPINE)


def submissions(person: Person, told: Story) -> Iterator[Submission]:
    """One transaction, of persons who have moved."""
    if person.former_practice is None or person.moved is None:
        return
    speaker, chance = voice(person.former_practice, person), stream(person.seed, "former-gp", person.index)
    at = calendar.moment(calendar.days_ago(FIRST_LOAD), chance)
    left = calendar.moment(person.moved, chance)
    since = person.moved - timedelta(days=chance.randrange(60, 300))
    ended = registration(speaker, "registration", since, person.moved - timedelta(days=1), left)
    known = {medicine.code for medicine in told.medicines}
    code = next(each for each in _REPEATS if each not in known)
    times_a_day = treatments.TIMES_A_DAY.get(code, 1)
    repeat = Medicine(code, told.problems[0], times_a_day, since + timedelta(days=20))
    ordered = prescription(speaker, "repeat", repeat, calendar.moment(repeat.since, chance))
    alone = [] if speaker.manner.subject == "entry" else [patient(speaker, at, verified=True)]
    note = f"active, though the person left this practice on {ended['period']['end']}"
    yield transact(speaker, at, [*alone, ended, ordered], cases=[case(speaker, "moved-practice", ordered, note)])
