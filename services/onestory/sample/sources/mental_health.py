"""The mental health trust: fewer statements, and more of them restricted."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from onestory.sample import calendar
from onestory.sample.bundles import Case, Submission
from onestory.sample.chance import stream
from onestory.sample.codes import findings, problems
from onestory.sample.elements import Json
from onestory.sample.network import MENTAL_HEALTH
from onestory.sample.patients import patient
from onestory.sample.people import Person
from onestory.sample.plans import care_plan, care_team
from onestory.sample.publishing import case, transact
from onestory.sample.statements import condition, encounter, taken
from onestory.sample.story import Problem, Story
from onestory.sample.voice import Voice, voice

_CRISIS = "In a crisis: call the 24-hour line first, then my sister. Do not send police. I calm down with music. 🎧"


def submissions(person: Person, told: Story) -> Iterator[Submission]:
    chance = stream(person.seed, "mental-health", person.index)
    speaker = voice(MENTAL_HEALTH, person)
    at = calendar.moment(calendar.days_ago(chance.randrange(30, 62)), chance)
    onset = calendar.days_ago(chance.randrange(100, 1500) if person.age != "child" else 90)
    illness = Problem(chance.choice(problems.MENTAL_ILLNESS), onset)
    resources = [
        patient(speaker, at),
        condition(speaker, "illness", illness, at, secrecy=("R",)),
        care_plan(speaker, "crisis", at, findings.CRISIS_PLAN, _CRISIS, secrecy=("R",)),
        care_team(speaker, "team", at, "Community mental health team"),
        *(taken(speaker, f"medicine-{place}", known, at) for place, known in enumerate(told.medicines[:2])),
        *_reviews(speaker, chance),
    ]
    secret = list(_secret(speaker, chance))
    yield transact(speaker, at, resources + [said for said, _ in secret], cases=[shown for _, shown in secret])


def _reviews(speaker: Voice, chance: Random) -> Iterator[Json]:
    for place in range(3):
        day = calendar.days_ago(chance.randrange(64, 200))
        yield encounter(speaker, f"review-{place}", day, calendar.moment(day, chance), kind=findings.CONSULTATION)


def _secret(speaker: Voice, chance: Random) -> Iterator[tuple[Json, Case]]:
    if "very-restricted" in speaker.person.troubles:
        day = calendar.days_ago(chance.randrange(64, 300))
        problem = Problem(problems.ALCOHOL_DEPENDENCE, day)
        said = condition(speaker, "secret", problem, calendar.moment(day, chance), secrecy=("V",))
        yield said, case(speaker, "very-restricted", said, "v3-Confidentiality V")
