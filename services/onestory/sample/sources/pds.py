"""The demographic authority: who the person is, where the person lives, and which NHS number is the right one."""

from __future__ import annotations

from collections.abc import Iterator

from onestory.sample import calendar
from onestory.sample.bundles import Submission
from onestory.sample.chance import stream
from onestory.sample.network import DEMOGRAPHICS
from onestory.sample.patients import patient
from onestory.sample.people import Person
from onestory.sample.publishing import case, transact
from onestory.sample.voice import voice


def submissions(person: Person) -> Iterator[Submission]:
    chance = stream(person.seed, "pds", person.index)
    if person.superseded:
        former = voice(DEMOGRAPHICS, person, nhs_number=person.superseded)
        before = calendar.moment(calendar.days_ago(chance.randrange(400, 900)), chance)
        yield transact(former, before, [patient(former, before, verified=True)])
    speaker = voice(DEMOGRAPHICS, person)
    at = calendar.moment(calendar.days_ago(chance.randrange(2, 6) if person.died else chance.randrange(5, 60)), chance)
    known = patient(speaker, at, verified=True, replaces=person.superseded)
    note = f"replaces {person.superseded}, under which the community team filed"
    cases = [case(speaker, "superseded-number", known, note)] if person.superseded else []
    yield transact(speaker, at, [known], cases=cases)
