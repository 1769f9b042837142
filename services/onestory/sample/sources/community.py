"""Community nursing and health visiting: much of what the practice knows, said again in other words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from onestory.sample import calendar
from onestory.sample.bundles import Case, Submission
from onestory.sample.chance import stream
from onestory.sample.codes import findings
from onestory.sample.elements import Json
from onestory.sample.network import COMMUNITY
from onestory.sample.people import Person
from onestory.sample.plans import about_me, care_plan, care_team, flag
from onestory.sample.publishing import case, collect
from onestory.sample.statements import allergy, blood_pressure, condition, encounter, immunisation, weighed
from onestory.sample.story import Story
from onestory.sample.voice import Voice, voice


def submissions(person: Person, told: Story) -> Iterator[Submission]:
    # The team learns a new NHS number late: what it files until then is under the old one.
    speaker = voice(COMMUNITY, person, nhs_number=person.superseded or person.nhs_number)
    chance = stream(person.seed, "community", person.index)
    yield _assessment(speaker, told, chance)
    if special := list(_special(speaker, chance)):
        at = calendar.moment(calendar.days_ago(40), chance)
        yield collect(speaker, at, [said for said, _ in special], cases=[shown for _, shown in special])


def _assessment(speaker: Voice, told: Story, chance: Random) -> Submission:
    at = calendar.moment(calendar.days_ago(chance.randrange(45, 60)), chance)
    resources: list[Json] = []
    cases: list[Case] = []
    for place, problem in enumerate(told.problems[:2]):
        text = f"{problem.code.display} (patient reported, on caseload)"
        resources.append(condition(speaker, f"problem-{place}", problem, at, text=text))
    cases.append(case(speaker, "same-fact", resources[0], "the practice states the same condition"))
    for place, known in enumerate(told.allergies[:1]):
        resources.append(allergy(speaker, f"allergy-{place}", known, at, text=f"?{known.code.display.lower()}"))
    for place, given in enumerate(told.vaccinations[-1:]):
        resources.append(immunisation(speaker, f"vaccine-{place}", given, at))
    resources += _visits(speaker, chance)
    if speaker.person.age == "frail":
        resources.append(
            care_plan(speaker, "plan", at, findings.CARE_PLAN, "District nursing plan: wound care twice weekly")
        )
        resources.append(care_team(speaker, "team", at, "District nursing team"))
    return collect(speaker, at, resources, cases=cases)


def _visits(speaker: Voice, chance: Random) -> Iterator[Json]:
    for place in range(2):
        day = calendar.days_ago(chance.randrange(62, 120))
        recorded = calendar.moment(day, chance)
        yield encounter(speaker, f"visit-{place}", day, recorded, kind=findings.CONSULTATION)
        yield weighed(speaker, f"weight-{place}", day, recorded, chance)
        if speaker.person.age != "child":
            yield blood_pressure(speaker, f"pressure-{place}", day, recorded, chance)


def _special(speaker: Voice, chance: Random) -> Iterator[tuple[Json, Case]]:
    at = calendar.moment(calendar.days_ago(41), chance)
    troubles = speaker.person.troubles
    if "about-me" in troubles:
        words = about_me(speaker, "about-me", at, chance)
        yield words, case(speaker, "about-me", words, "the person's own words")
        adjustment = flag(speaker, "adjustment", at, "communication-support", chance)
        yield adjustment, case(speaker, "about-me", adjustment, "a reasonable adjustment")
    if "safeguarding" in troubles:
        protection = flag(speaker, "protection", at, "child-protection", chance)
        yield protection, case(speaker, "safeguarding", protection, "subject to a child protection plan")
