"""What real data does later: corrections, retractions, late and repeated statements, restricted facts, a death."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from onestory.sample import chance, resources
from onestory.sample import codes as sample_codes
from onestory.sample.chance import stream
from onestory.sample.network import SourceSystem
from onestory.sample.people import Person, person
from onestory.sample.resources import PublishedBundle
from onestory.sample.statements import allergy, condition, observed
from onestory.sample.story import Allergy, Problem, Story
from onestory.sample.voice import Voice, case, patient, transact, voice

Difficulty = Callable[[Voice, Story], Iterator[PublishedBundle]]


def later_submissions(who: Person, told: Story) -> Iterator[PublishedBundle]:
    """What the practice says after its first load, for the difficulties of this person."""
    speaker = voice(who.practice, who)
    for trouble in who.troubles:
        if difficulty := _DIFFICULTIES.get(trouble):
            yield from difficulty(speaker, told)


def _correction(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    at = _later(speaker, 40)
    corrected = condition(speaker, "problem-0", told.problems[0], at, text="Corrected after review of the letter")
    yield transact(speaker, at, [corrected], cases=[case(speaker, "correction", corrected, "newer, with other text")])


def _retraction(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    first, second = _later(speaker, 45), _later(speaker, 30)
    said = condition(speaker, "taken-back", Problem(sample_codes.STROKE, first.date()), first, text="?TIA")
    yield transact(speaker, first, [said])
    gone = resources.delete("Condition", said["id"], speaker.nhs_number)
    cases = [case(speaker, "retraction", said, "stated, then deleted")]
    yield transact(speaker, second, [], deleted=[gone], cases=cases)


def _entered_in_error(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    first, second = _later(speaker, 45), _later(speaker, 30)
    problem = Problem(sample_codes.GOUT, first.date())
    yield transact(speaker, first, [condition(speaker, "mistake", problem, first)])
    withdrawn = condition(speaker, "mistake", problem, second, wrong=True)
    cases = [case(speaker, "entered-in-error", withdrawn, "stated, then withdrawn by its status")]
    yield transact(speaker, second, [withdrawn], cases=cases)


def _late_statement(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    newer = _later(speaker, 20)
    older = newer - timedelta(days=9)
    day = newer.date()
    right = observed(speaker, "late", sample_codes.WEIGHT, day, newer, 71.0)
    wrong = observed(speaker, "late", sample_codes.WEIGHT, day, older, 17.0)
    yield transact(speaker, newer, [right])
    cases = [case(speaker, "late-statement", right, "71.0 kg stands; the older statement of 17.0 kg arrives after it")]
    yield transact(speaker, newer + timedelta(hours=3), [wrong], cases=cases)


def _repeated_statement(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    at = _later(speaker, 25)
    said = observed(speaker, "repeated", sample_codes.OXYGEN, at.date(), at, 96)
    once = transact(speaker, at, [said])
    yield once
    cases = (case(speaker, "repeated-statement", said, "the same bytes were published twice"),)
    yield replace(once, cases=cases)


def _complete_list(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    first, second = _later(speaker, 45), _later(speaker, 30)
    extra = Allergy(
        sample_codes.AMOXICILLIN_ALLERGY, sample_codes.AMOXICILLIN, sample_codes.URTICARIA, False, first.date()
    )
    listed = allergy(speaker, "allergy-extra", extra, first)
    yield transact(speaker, first, [listed])
    whole = [allergy(speaker, f"allergy-{place}", known, second) for place, known in enumerate(told.allergies)]
    cases = [case(speaker, "complete-list", listed, "retired: the whole list that came later does not mention it")]
    yield transact(speaker, second, whole, complete=["AllergyIntolerance"], cases=cases)


def _sensitive(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    at = _later(speaker, 35)
    said = condition(speaker, "restricted", Problem(sample_codes.CHLAMYDIA, at.date()), at, secrecy=("R",))
    yield transact(speaker, at, [said], cases=[case(speaker, "sensitive", said, "v3-Confidentiality R")])


def _deceased(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    at = _later(speaker, 4)
    known = patient(speaker, at)
    # Some systems send the Patient with every transaction; the others send it for itself.
    alone = [] if speaker.manner.subject == "entry" else [known]
    note = "died; the other sources still speak of a living person"
    yield transact(speaker, at, alone, cases=[case(speaker, "deceased", known, note)])


def _very_restricted(speaker: Voice, told: Story) -> Iterator[PublishedBundle]:
    at = _later(speaker, 35)
    said = condition(speaker, "very-restricted", Problem(sample_codes.HIV, at.date()), at, secrecy=("V",))
    yield transact(speaker, at, [said], cases=[case(speaker, "very-restricted", said, "v3-Confidentiality V")])


_DIFFICULTIES: dict[str, Difficulty] = {
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


def wrongly_filed(who: Person, source: SourceSystem) -> Iterator[PublishedBundle]:
    """A resource that was filed under the person before this one, and then stated for the right person."""
    other = person(who.seed, who.index - 1)
    wrong = voice(source, who, nhs_number=other.nhs_number)
    right = voice(source, who)
    first, second = _later(right, 30), _later(right, 15)
    problem = Problem(sample_codes.PNEUMONIA, first.date())
    misfiled = condition(wrong, "misfiled", problem, first, text="Community-acquired pneumonia, left base")
    yield transact(
        wrong, first, [misfiled], cases=[case(wrong, "wrong-person", misfiled, f"belongs to {who.nhs_number}")]
    )
    put_right = condition(right, "misfiled", problem, second, text="Community-acquired pneumonia, left base")
    note = f"first filed under {other.nhs_number}"
    yield transact(right, second, [put_right], cases=[case(right, "wrong-person", put_right, note)])


def _later(speaker: Voice, days: int) -> datetime:
    return chance.moment(chance.days_ago(days), stream(speaker.person.seed, "later", speaker.person.index, days))
