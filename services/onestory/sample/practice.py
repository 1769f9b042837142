"""Submissions of the registered practice, of a former practice, and of the demographic authority (PDS).

The practice publishes its whole record first, and later corrections, retractions and other troubles of real data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from random import Random

from onestory.sample import codes
from onestory.sample.chance import days_ago, random_stream, working_time
from onestory.sample.network import DEMOGRAPHICS, SourceSystem
from onestory.sample.people import UNUSUAL_TEXTS, Person, make_person
from onestory.sample.resources import (
    Json,
    SampleSubmission,
    TroubleCase,
    concept_from,
    delete_entry,
    organisation,
    period,
)
from onestory.sample.statements import (
    allergy,
    blood_pressure,
    condition,
    encounter,
    immunisation,
    observation,
    prescription,
    random_measurement,
    weight,
)
from onestory.sample.story import Allergy, Medicine, Problem, Story
from onestory.sample.writer import SourceWriter, patient_resource, transaction_submission, trouble_case, writer_for

FIRST_LOAD = 65
"""A practice published its record for the first time so many days ago."""
CARE_KINDS = "https://fhir.nhs.uk/STU3/CodeSystem/EMS-PDS-PatientCareProvisionType-1"


def practice_submissions(person: Person, story: Story) -> Iterator[SampleSubmission]:
    """The first load of the registered practice: a problem list, then contacts. No source keeps a longer record."""
    writer = writer_for(person.practice, person)
    chance = random_stream(person.seed, "gp", person.index)
    yield _problem_list(writer, story, chance)
    yield _contact_history(writer, story, chance)


def _problem_list(writer: SourceWriter, story: Story, chance: Random) -> SampleSubmission:
    at = working_time(days_ago(FIRST_LOAD), chance)
    cases: list[TroubleCase] = []
    resources: list[Json] = []
    if writer.style.subject != "entry":
        resources.append(patient_resource(writer, at, verified=True))
    for index, problem in enumerate(story.problems):
        text = UNUSUAL_TEXTS[writer.person.index // 5 % len(UNUSUAL_TEXTS)] if index == 0 else ""
        note = text if "unusual-text" in writer.person.troubles else ""
        recorded = working_time(problem.ended or problem.onset, chance)
        stated = condition(writer, f"problem-{index}", problem, recorded, note=note)
        resources.append(stated)
        if note:
            cases.append(trouble_case(writer, "unusual-text", stated, "the note has text that careless code breaks"))
    for index, fact in enumerate(story.allergies):
        resources.append(allergy(writer, f"allergy-{index}", fact, working_time(fact.since, chance)))
    resources += _prescriptions(writer, story, chance)
    return transaction_submission(writer, at, resources, cases=[*cases, *_protected_case(writer)])


def _prescriptions(writer: SourceWriter, story: Story, chance: Random) -> Iterator[Json]:
    for index, medicine in enumerate(story.medicines):
        reason = writer.reference("Condition", f"problem-{story.problems.index(medicine.reason)}")
        recorded = working_time(medicine.stopped or medicine.since, chance)
        yield prescription(writer, f"medicine-{index}", medicine, recorded, reason=reason)


def _contact_history(writer: SourceWriter, story: Story, chance: Random) -> SampleSubmission:
    at = working_time(days_ago(FIRST_LOAD - 1), chance)
    resources: list[Json] = []
    for index, day in enumerate(story.contacts):
        recorded = working_time(day, chance)
        resources.append(encounter(writer, f"contact-{index}", day, recorded, kind=codes.FACE_TO_FACE))
        if writer.person.age != "child":
            resources.append(blood_pressure(writer, f"pressure-{index}", day, recorded, chance))
        resources.append(weight(writer, f"weight-{index}", day, recorded, chance))
    resources += _blood_tests(writer, story, chance)
    for index, vaccination in enumerate(story.vaccinations):
        resources.append(immunisation(writer, f"vaccine-{index}", vaccination, working_time(vaccination.day, chance)))
    return transaction_submission(writer, at, resources)


def _blood_tests(writer: SourceWriter, story: Story, chance: Random) -> Iterator[Json]:
    if writer.person.age == "child":
        return
    for contact_index, day in enumerate(story.contacts[:2]):
        recorded = working_time(day, chance)
        for index, measure in enumerate(codes.BLOOD_TESTS[:4]):
            yield random_measurement(writer, f"blood-{contact_index}-{index}", measure, day, recorded, chance)


def _protected_case(writer: SourceWriter) -> Iterator[TroubleCase]:
    patient = patient_resource(writer, working_time(days_ago(FIRST_LOAD), random_stream("case")))
    if writer.person.protected:
        yield trouble_case(
            writer, "protected-address", patient, "no address and no telecom; the Patient has security R"
        )


_REPEATS = (
    codes.SALBUTAMOL,
    codes.PARACETAMOL,
    codes.AMLODIPINE,
    codes.FUROSEMIDE,
    codes.METFORMIN,
    codes.SERTRALINE,
    codes.MIRTAZAPINE,
)
"""Medicines that a former practice may still show as active: the first one that the person does not take now."""


def former_practice_submissions(person: Person, story: Story) -> Iterator[SampleSubmission]:
    """One transaction for a person who has moved; nothing for others.

    The former practice has ended the registration, but its repeat prescription is still active.
    """
    if person.former_practice is None or person.registered_since is None:
        return
    writer, chance = writer_for(person.former_practice, person), random_stream(person.seed, "former-gp", person.index)
    at = working_time(days_ago(FIRST_LOAD), chance)
    left = working_time(person.registered_since, chance)
    since = person.registered_since - timedelta(days=chance.randrange(60, 300))
    ended = _registration(writer, "registration", since, person.registered_since - timedelta(days=1), left)
    current = {medicine.code for medicine in story.medicines}
    code = next(code for code in _REPEATS if code not in current)
    times_a_day = codes.TIMES_A_DAY.get(code, 1)
    repeat = Medicine(code, story.problems[0], times_a_day, since + timedelta(days=20))
    ordered = prescription(writer, "repeat", repeat, working_time(repeat.since, chance))
    patients = [] if writer.style.subject == "entry" else [patient_resource(writer, at, verified=True)]
    note = f"active, though the person left this practice on {ended['period']['end']}"
    yield transaction_submission(
        writer, at, [*patients, ended, ordered], cases=[trouble_case(writer, "moved-practice", ordered, note)]
    )


def _registration(writer: SourceWriter, key: str, since: date, until: date, recorded: datetime) -> Json:
    """An EpisodeOfCare: a registration with a practice, which has ended."""
    fields = {
        "status": "finished",
        "type": [concept_from(CARE_KINDS, "1", "Primary care")],
        "patient": writer.subject,
        "managingOrganization": organisation(writer.source),
        "period": period(since, until),
    }
    return writer.resource("EpisodeOfCare", key, recorded, fields)


def pds_submissions(person: Person) -> Iterator[SampleSubmission]:
    """The Patient as the demographic authority states it: identity, address, practice and right NHS number.

    A superseded number is published first, as it was at that time.
    """
    chance = random_stream(person.seed, "pds", person.index)
    if person.superseded:
        former = writer_for(DEMOGRAPHICS, person, nhs_number=person.superseded)
        before = working_time(days_ago(chance.randrange(400, 900)), chance)
        yield transaction_submission(former, before, [patient_resource(former, before, verified=True)])
    writer = writer_for(DEMOGRAPHICS, person)
    at = working_time(days_ago(chance.randrange(2, 6) if person.died else chance.randrange(5, 60)), chance)
    patient = patient_resource(writer, at, verified=True, replaces=person.superseded)
    note = f"replaces {person.superseded}, under which the community team filed"
    cases = [trouble_case(writer, "superseded-number", patient, note)] if person.superseded else []
    yield transaction_submission(writer, at, [patient], cases=cases)


TroubleWriter = Callable[[SourceWriter, Story], Iterator[SampleSubmission]]


def later_submissions(person: Person, story: Story) -> Iterator[SampleSubmission]:
    """The practice's submissions after its first load: those that show the person's troubles."""
    writer = writer_for(person.practice, person)
    for trouble in person.troubles:
        if write_trouble := _LATER_TROUBLES.get(trouble):
            yield from write_trouble(writer, story)


def _correction(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    at = _later(writer, 40)
    corrected = condition(writer, "problem-0", story.problems[0], at, text="Corrected after review of the letter")
    yield transaction_submission(
        writer, at, [corrected], cases=[trouble_case(writer, "correction", corrected, "newer, with other text")]
    )


def _retraction(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    first, second = _later(writer, 45), _later(writer, 30)
    stated = condition(writer, "taken-back", Problem(codes.STROKE, first.date()), first, text="?TIA")
    yield transaction_submission(writer, first, [stated])
    deletion = delete_entry("Condition", stated["id"], writer.nhs_number)
    cases = [trouble_case(writer, "retraction", stated, "stated, then deleted")]
    yield transaction_submission(writer, second, [], deleted=[deletion], cases=cases)


def _entered_in_error(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    first, second = _later(writer, 45), _later(writer, 30)
    problem = Problem(codes.GOUT, first.date())
    yield transaction_submission(writer, first, [condition(writer, "mistake", problem, first)])
    withdrawn = condition(writer, "mistake", problem, second, entered_in_error=True)
    cases = [trouble_case(writer, "entered-in-error", withdrawn, "stated, then withdrawn by its status")]
    yield transaction_submission(writer, second, [withdrawn], cases=cases)


def _late_statement(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    newer = _later(writer, 20)
    older = newer - timedelta(days=9)
    day = newer.date()
    right = observation(writer, "late", codes.WEIGHT, day, newer, 71.0)
    wrong = observation(writer, "late", codes.WEIGHT, day, older, 17.0)
    yield transaction_submission(writer, newer, [right])
    cases = [
        trouble_case(writer, "late-statement", right, "71.0 kg stands; the older statement of 17.0 kg arrives after it")
    ]
    yield transaction_submission(writer, newer + timedelta(hours=3), [wrong], cases=cases)


def _repeated_statement(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    at = _later(writer, 25)
    stated = observation(writer, "repeated", codes.OXYGEN, at.date(), at, 96)
    submission = transaction_submission(writer, at, [stated])
    yield submission
    cases = (trouble_case(writer, "repeated-statement", stated, "the same bytes were published twice"),)
    yield replace(submission, cases=cases)


def _complete_list(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    first, second = _later(writer, 45), _later(writer, 30)
    extra = Allergy(codes.AMOXICILLIN_ALLERGY, codes.AMOXICILLIN, codes.URTICARIA, False, first.date())
    listed = allergy(writer, "allergy-extra", extra, first)
    yield transaction_submission(writer, first, [listed])
    whole = [allergy(writer, f"allergy-{index}", fact, second) for index, fact in enumerate(story.allergies)]
    cases = [
        trouble_case(writer, "complete-list", listed, "retired: the whole list that came later does not mention it")
    ]
    yield transaction_submission(writer, second, whole, complete=["AllergyIntolerance"], cases=cases)


def _sensitive(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    at = _later(writer, 35)
    stated = condition(writer, "restricted", Problem(codes.CHLAMYDIA, at.date()), at, confidentiality=("R",))
    yield transaction_submission(
        writer, at, [stated], cases=[trouble_case(writer, "sensitive", stated, "v3-Confidentiality R")]
    )


def _deceased(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    at = _later(writer, 4)
    patient = patient_resource(writer, at)
    # Some systems send the Patient with every transaction; the others send it as a resource of its own.
    patients = [] if writer.style.subject == "entry" else [patient]
    note = "died; the other sources still speak of a living person"
    yield transaction_submission(writer, at, patients, cases=[trouble_case(writer, "deceased", patient, note)])


def _very_restricted(writer: SourceWriter, story: Story) -> Iterator[SampleSubmission]:
    at = _later(writer, 35)
    stated = condition(writer, "very-restricted", Problem(codes.HIV, at.date()), at, confidentiality=("V",))
    yield transaction_submission(
        writer, at, [stated], cases=[trouble_case(writer, "very-restricted", stated, "v3-Confidentiality V")]
    )


_LATER_TROUBLES: dict[str, TroubleWriter] = {
    "correction": _correction,
    "retraction": _retraction,
    "entered-in-error": _entered_in_error,
    "late-statement": _late_statement,
    "repeated-statement": _repeated_statement,
    "complete-list": _complete_list,
    "sensitive": _sensitive,
    "very-restricted": _very_restricted,
    "deceased": _deceased,
}


def wrongly_filed(person: Person, source: SourceSystem) -> Iterator[SampleSubmission]:
    """A resource of `source` that was filed under person `index - 1`, and then stated for the right person."""
    other = make_person(person.seed, person.index - 1)
    wrong = writer_for(source, person, nhs_number=other.nhs_number)
    right = writer_for(source, person)
    first, second = _later(right, 30), _later(right, 15)
    problem = Problem(codes.PNEUMONIA, first.date())
    misfiled = condition(wrong, "misfiled", problem, first, text="Community-acquired pneumonia, left base")
    yield transaction_submission(
        wrong,
        first,
        [misfiled],
        cases=[trouble_case(wrong, "wrong-person", misfiled, f"belongs to {person.nhs_number}")],
    )
    put_right = condition(right, "misfiled", problem, second, text="Community-acquired pneumonia, left base")
    note = f"first filed under {other.nhs_number}"
    yield transaction_submission(
        right, second, [put_right], cases=[trouble_case(right, "wrong-person", put_right, note)]
    )


def _later(writer: SourceWriter, days: int) -> datetime:
    return working_time(days_ago(days), random_stream(writer.person.seed, "later", writer.person.index, days))
