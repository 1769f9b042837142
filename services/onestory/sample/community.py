"""Community nursing and health visiting: much of what the practice knows, said again in other words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from onestory.sample import chance as sample_chance
from onestory.sample import codes as sample_codes
from onestory.sample.chance import stream
from onestory.sample.network import COMMUNITY, MENTAL_HEALTH, SOCIAL_CARE
from onestory.sample.people import Person
from onestory.sample.plans import about_me, care_plan, care_team, flag, service_request
from onestory.sample.resources import Case, Json, PublishedBundle
from onestory.sample.statements import allergy, blood_pressure, condition, encounter, immunisation, taken, weighed
from onestory.sample.story import Problem, Story
from onestory.sample.voice import Voice, case, collect, patient, transact, voice


def community_submissions(person: Person, told: Story) -> Iterator[PublishedBundle]:
    # The team learns a new NHS number late: what it files until then is under the old one.
    speaker = voice(COMMUNITY, person, nhs_number=person.superseded or person.nhs_number)
    chance = stream(person.seed, "community", person.index)
    yield _assessment(speaker, told, chance)
    if special := list(_special(speaker, chance)):
        at = sample_chance.moment(sample_chance.days_ago(40), chance)
        yield collect(speaker, at, [said for said, _ in special], cases=[shown for _, shown in special])


def _assessment(speaker: Voice, told: Story, chance: Random) -> PublishedBundle:
    at = sample_chance.moment(sample_chance.days_ago(chance.randrange(45, 60)), chance)
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
            care_plan(speaker, "plan", at, sample_codes.CARE_PLAN, "District nursing plan: wound care twice weekly")
        )
        resources.append(care_team(speaker, "team", at, "District nursing team"))
    return collect(speaker, at, resources, cases=cases)


def _visits(speaker: Voice, chance: Random) -> Iterator[Json]:
    for place in range(2):
        day = sample_chance.days_ago(chance.randrange(62, 120))
        recorded = sample_chance.moment(day, chance)
        yield encounter(speaker, f"visit-{place}", day, recorded, kind=sample_codes.CONSULTATION)
        yield weighed(speaker, f"weight-{place}", day, recorded, chance)
        if speaker.person.age != "child":
            yield blood_pressure(speaker, f"pressure-{place}", day, recorded, chance)


def _special(speaker: Voice, chance: Random) -> Iterator[tuple[Json, Case]]:
    at = sample_chance.moment(sample_chance.days_ago(41), chance)
    troubles = speaker.person.troubles
    if "about-me" in troubles:
        words = about_me(speaker, "about-me", at, chance)
        yield words, case(speaker, "about-me", words, "the person's own words")
        adjustment = flag(speaker, "adjustment", at, "communication-support", chance)
        yield adjustment, case(speaker, "about-me", adjustment, "a reasonable adjustment")
    if "safeguarding" in troubles:
        protection = flag(speaker, "protection", at, "child-protection", chance)
        yield protection, case(speaker, "safeguarding", protection, "subject to a child protection plan")


# The mental health trust: fewer statements, and more of them restricted.

_CRISIS = "In a crisis: call the 24-hour line first, then my sister. Do not send police. I calm down with music. 🎧"


def mental_health_submissions(person: Person, told: Story) -> Iterator[PublishedBundle]:
    chance = stream(person.seed, "mental-health", person.index)
    speaker = voice(MENTAL_HEALTH, person)
    at = sample_chance.moment(sample_chance.days_ago(chance.randrange(30, 62)), chance)
    onset = sample_chance.days_ago(chance.randrange(100, 1500) if person.age != "child" else 90)
    illness = Problem(chance.choice(sample_codes.MENTAL_ILLNESS), onset)
    resources = [
        patient(speaker, at),
        condition(speaker, "illness", illness, at, secrecy=("R",)),
        care_plan(speaker, "crisis", at, sample_codes.CRISIS_PLAN, _CRISIS, secrecy=("R",)),
        care_team(speaker, "team", at, "Community mental health team"),
        *(taken(speaker, f"medicine-{place}", known, at) for place, known in enumerate(told.medicines[:2])),
        *_reviews(speaker, chance),
    ]
    secret = list(_secret(speaker, chance))
    yield transact(speaker, at, resources + [said for said, _ in secret], cases=[shown for _, shown in secret])


def _reviews(speaker: Voice, chance: Random) -> Iterator[Json]:
    for place in range(3):
        day = sample_chance.days_ago(chance.randrange(64, 200))
        yield encounter(
            speaker, f"review-{place}", day, sample_chance.moment(day, chance), kind=sample_codes.CONSULTATION
        )


def _secret(speaker: Voice, chance: Random) -> Iterator[tuple[Json, Case]]:
    if "very-restricted" in speaker.person.troubles:
        day = sample_chance.days_ago(chance.randrange(64, 300))
        problem = Problem(sample_codes.ALCOHOL_DEPENDENCE, day)
        said = condition(speaker, "secret", problem, sample_chance.moment(day, chance), secrecy=("V",))
        yield said, case(speaker, "very-restricted", said, "v3-Confidentiality V")


# Adult social care: no ids of its own in what it sends, only case numbers, and conditional creates.

_PACKAGES = (
    "Four calls a day, two carers: personal care, meals, medicines prompt",
    "Two calls a day: breakfast and bedtime; day centre on Tuesdays",
    "Live-in carer; direct payment; key safe by the back door",
)


def social_care_submissions(person: Person, told: Story) -> Iterator[PublishedBundle]:
    chance = stream(person.seed, "social-care", person.index)
    speaker = voice(SOCIAL_CARE, person)
    at = sample_chance.moment(sample_chance.days_ago(chance.randrange(30, 62)), chance)
    # A conditional reference beside references to the entry: both name the Patient of this Bundle.
    by_number = voice(SOCIAL_CARE, person, subject_as="conditional")
    plan = care_plan(speaker, "package", at, sample_codes.CARE_PLAN, chance.choice(_PACKAGES))
    lonely = next((known for known in told.problems if known.code == sample_codes.SOCIAL_ISOLATION), None)
    resources = [
        plan,
        care_team(speaker, "team", at, "Locality social work team"),
        service_request(
            by_number, "assessment", at, sample_codes.NEEDS_ASSESSMENT, "Care Act 2014 assessment of needs"
        ),
        service_request(speaker, "link-worker", at, sample_codes.SOCIAL_PRESCRIBING, "Link worker: befriending"),
        condition(
            speaker, "isolation", lonely or Problem(sample_codes.SOCIAL_ISOLATION, at.date()), at, text="Lives alone"
        ),
    ]
    shown = [case(speaker, "care-package", plan, "known by its case number, without an id")]
    yield transact(speaker, at, resources, cases=shown if "care-package" in person.troubles else ())
