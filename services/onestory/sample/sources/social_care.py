"""Adult social care: no ids of its own in what it sends, only case numbers, and conditional creates."""

from __future__ import annotations

from collections.abc import Iterator

from onestory.sample import calendar
from onestory.sample.bundles import Submission
from onestory.sample.chance import stream
from onestory.sample.codes import findings, problems
from onestory.sample.network import SOCIAL_CARE
from onestory.sample.people import Person
from onestory.sample.plans import care_plan, care_team, service_request
from onestory.sample.publishing import case, transact
from onestory.sample.statements import condition
from onestory.sample.story import Problem, Story
from onestory.sample.voice import voice

_PACKAGES = (
    "Four calls a day, two carers: personal care, meals, medicines prompt",
    "Two calls a day: breakfast and bedtime; day centre on Tuesdays",
    "Live-in carer; direct payment; key safe by the back door",
)


def submissions(person: Person, told: Story) -> Iterator[Submission]:
    chance = stream(person.seed, "social-care", person.index)
    speaker = voice(SOCIAL_CARE, person)
    at = calendar.moment(calendar.days_ago(chance.randrange(30, 62)), chance)
    # A conditional reference beside references to the entry: both name the Patient of this Bundle.
    by_number = voice(SOCIAL_CARE, person, subject_as="conditional")
    plan = care_plan(speaker, "package", at, findings.CARE_PLAN, chance.choice(_PACKAGES))
    lonely = next((known for known in told.problems if known.code == problems.SOCIAL_ISOLATION), None)
    resources = [
        plan,
        care_team(speaker, "team", at, "Locality social work team"),
        service_request(by_number, "assessment", at, findings.NEEDS_ASSESSMENT, "Care Act 2014 assessment of needs"),
        service_request(speaker, "link-worker", at, findings.SOCIAL_PRESCRIBING, "Link worker: befriending"),
        condition(
            speaker, "isolation", lonely or Problem(problems.SOCIAL_ISOLATION, at.date()), at, text="Lives alone"
        ),
    ]
    shown = [case(speaker, "care-package", plan, "known by its case number, without an id")]
    yield transact(speaker, at, resources, cases=shown if "care-package" in person.troubles else ())
