"""Problems: active ones newest first, then suspected, ruled out, past events and old diagnoses at visits; past illness.

The lines of one disease stand together. A disease that is over by its nature does not read as present, though nobody
closed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onestory.record.merge.diseases import Disease, names_no_diagnosis
from onestory.record.merge.model import Fact
from onestory.record.summary import sources
from onestory.record.summary.allergy_words import allergy_name, name_or_note, recorded_as_problems
from onestory.record.summary.clinical_dates import date_text
from onestory.record.summary.dates import shown as date_shown
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.standings import PlacedProblem, ProblemStanding, is_answer, problems_of
from onestory.record.summary.wording import name_of, newest_of_each_kind, notes
from onestory.shared.fhir.json import concept_text, concept_texts, values_at

_PROBLEMS = SectionDefinition(
    "11450-4",
    "Problems",
    "No current problems received. Ask the person and check the GP record.",
)
_PAST = SectionDefinition("11348-0", "Past illness")
MAX_PAST = 50
"""Past illnesses that are shown: the newest of each kind first."""
MAX_VISITS = 15
"""Old diagnoses at visits that are shown: the newest of each kind first."""
_STATUS_WORDS = {
    "recurrence": "Has come back",
    "relapse": "Relapse",
    "remission": "In remission",
    "resolved": "Resolved",
    "inactive": "Inactive",
    "differential": "One of several possible diagnoses",
}
"""The statuses that say more than the group of the line."""
_NOT_BY_CODE = (ProblemStanding.SUSPECTED, ProblemStanding.RULED_OUT, ProblemStanding.RISK)
_UNSURE = frozenset(["refuted", "unconfirmed", "provisional", "differential"])
"""A code alone would be read as a disease that the person has: lines of these standings are entries only with such a
verification status."""
_DATE_WORDS = {ProblemStanding.RULED_OUT: "Dated", ProblemStanding.VISIT: "On"}


def problems(record: SummaryRecord) -> Section | None:
    """The problems by their standing, without past illness and family history."""
    by_standing: dict[ProblemStanding, list[PlacedProblem]] = {standing: [] for standing in ProblemStanding}
    every = problems_of(record)
    by_id = {problem.fact.id: problem for problem in every}
    nameless = [problem for problem in every if names_no_diagnosis(name_or_note(record.shown(problem.fact).content))]
    for problem in every:
        standing = ProblemStanding.RULED_OUT if _is_ruled_out(record, problem, by_id) else problem.standing
        by_standing[standing].append(problem)
    for standing, found in by_standing.items():
        by_standing[standing] = [each for each in found if each not in nameless]
    active = _by_disease(by_standing[ProblemStanding.ACTIVE])
    events = sorted(by_standing[ProblemStanding.EVENT], key=lambda each: not each.dated)
    kept = {
        fact.id
        for fact in newest_of_each_kind(record, [p.fact for p in by_standing[ProblemStanding.VISIT]], MAX_VISITS)
    }
    visits = [problem for problem in by_standing[ProblemStanding.VISIT] if problem.fact.id in kept]
    shown = {
        "Active": active,
        "Suspected, not confirmed": by_standing[ProblemStanding.SUSPECTED],
        "Risks, contacts, carriers and screening": by_standing[ProblemStanding.RISK],
        "Ruled out": by_standing[ProblemStanding.RULED_OUT],
        "Past events": _by_disease(events),
        "Diagnoses at visits more than a year ago, never closed": visits,
    }
    groups = [Group(caption, [_line(record, each, by_id) for each in found]) for caption, found in shown.items()]
    groups.append(Group("Named in a source's list of problems", list(_listed_in_words(record))))
    stated = sources.none_known_remarks(record, "problems", [problem.fact for problem in active])
    return build_section(
        record,
        _PROBLEMS,
        groups,
        remarks=[
            *stated,
            _allergies_remark(record),
            _nameless_remark(record, nameless),
            *_more(len(by_standing[ProblemStanding.VISIT]) - len(visits), "older diagnoses at visits"),
        ],
        empty="nilknown" if stated else "unavailable",
        also_entries=[*recorded_as_problems(record), *[problem.fact for problem in nameless]],
    )


def _listed_in_words(record: SummaryRecord) -> Iterator[Line]:
    """Yields lines for problems that a list names in words only."""
    for fact in record.facts("List"):
        if names := sources.named_only_in_list(record, fact, "problems"):
            yield Line(fact, [strong(text("; ".join(names)))], [], is_listed=False)


def _allergies_remark(record: SummaryRecord) -> str:
    """A remark for the allergies that a source recorded as problems, because they are not listed here."""
    names = [text(allergy_name(record, fact)) for fact in recorded_as_problems(record)]
    return f"Recorded as problems, and shown among the allergies: {'; '.join(names)}." if names else ""


def _nameless_remark(record: SummaryRecord, nameless: Sequence[PlacedProblem]) -> str:
    """A remark for entries that name no diagnosis, such as "See notes"."""
    shown = [record.shown(problem.fact) for problem in nameless]
    names = [text(f"“{name_or_note(each.content)}” ({record.organisation_of(each)})") for each in shown]
    return f"Stated without a diagnosis: {'; '.join(dict.fromkeys(names))}." if names else ""


def past_illness(record: SummaryRecord) -> Section | None:
    """The problems that are resolved, inactive or in remission."""
    every = problems_of(record)
    past = {problem.fact.id: problem for problem in every if problem.standing is ProblemStanding.PAST}
    kept = newest_of_each_kind(record, [problem.fact for problem in past.values()], MAX_PAST)
    lines = [_line(record, past[fact.id], {}) for fact in kept]
    remarks = _more(len(past) - len(lines), "older resolved problems")
    return build_section(record, _PAST, [Group("Resolved, inactive or in remission", lines)], remarks=remarks)


def _more(number: int, what: str) -> list[str]:
    return [f"More is held: {number} {what} are not shown here."] if number else []


def _is_ruled_out(record: SummaryRecord, problem: PlacedProblem, by_id: Mapping[str, PlacedProblem]) -> bool:
    """Whether this is a suspicion that a later statement has ruled out."""
    return problem.standing is ProblemStanding.SUSPECTED and any(
        answer.standing is ProblemStanding.RULED_OUT for answer in _answers(record, problem, by_id)
    )


def _answers(
    record: SummaryRecord, problem: PlacedProblem, by_id: Mapping[str, PlacedProblem]
) -> Iterator[PlacedProblem]:
    """Yields what became of a suspicion."""
    if problem.standing is ProblemStanding.SUSPECTED:
        others = (by_id[fact_id] for fact_id in problem.fact.related if fact_id in by_id)
        yield from (other for other in others if is_answer(record, problem, other))


def _by_disease(problems: Sequence[PlacedProblem]) -> list[PlacedProblem]:
    """The problems in their order, but those of one disease after the newest of them."""
    first: dict[Disease | str, list[PlacedProblem]] = {}
    for problem in problems:
        first.setdefault(problem.disease or problem.fact.id, []).append(problem)
    newest_stage = {disease: max(group, key=lambda each: (each.dated, each.since)) for disease, group in first.items()}
    return [
        problem
        for disease, group in first.items()
        for problem in sorted(group, key=lambda each: each is not newest_stage[disease])
    ]


def _line(record: SummaryRecord, problem: PlacedProblem, by_id: Mapping[str, PlacedProblem]) -> Line:
    fact, shown = problem.fact, record.shown(problem.fact).content
    contents = [statement.content for statement in record.valid_statements(fact)]
    name = name_or_note(shown)
    if problem.standing is ProblemStanding.EVENT:
        onset = "" if problem.doubt else date_shown(fact.onset) or date_text(shown, "onset")
        name = f"{onset or 'Date not stated'}: {name}"
    details = [text(detail) for detail in dict.fromkeys(_details(problem, shown, contents)) if detail]
    return Line(
        fact,
        [strong(text(name)), *[text(site) for site in concept_texts(shown, "bodySite")]],
        [*_signs(record, problem, by_id), *details],
        problem.valid_until,
        is_listed=problem.standing not in _NOT_BY_CODE
        or bool(_UNSURE.intersection(_codes(shown, "verificationStatus"))),
    )


def _signs(record: SummaryRecord, problem: PlacedProblem, by_id: Mapping[str, PlacedProblem]) -> Iterator[str]:
    """What a reader must see first of the line."""
    if problem.doubt:
        yield strong(text(problem.doubt))
    for answer in _answers(record, problem, by_id):
        statement = record.shown(answer.fact)
        word = "Ruled out" if answer.standing is ProblemStanding.RULED_OUT else "Confirmed"
        yield strong(
            text(
                f"{word} by {record.organisation_of(statement)}, {sources.recorded_and_sent(statement)}: "
                f"“{name_of(statement.content)}”"
            )
        )
    if newer := _newer_stage(problem, by_id.values()):
        yield strong(text(f"Older stage: now “{name_of(record.shown(newer.fact).content)}”"))


def _newer_stage(problem: PlacedProblem, every: Iterable[PlacedProblem]) -> PlacedProblem | None:
    """The newest active problem with another stage of the same disease, if it is newer."""
    if not problem.stage or problem.standing is not ProblemStanding.ACTIVE:
        return None
    newer = [
        other
        for other in every
        if other.disease == problem.disease
        and other.standing is ProblemStanding.ACTIVE
        and other.stage not in (0, problem.stage)
        and other.since > problem.since
        and not other.doubt
    ]
    return max(newer, key=lambda other: other.since, default=None)


def _details(problem: PlacedProblem, shown: Mapping[str, Any], contents: list[Mapping[str, Any]]) -> Iterator[str]:
    fact: Fact = problem.fact
    statuses = [*_codes(shown, "clinicalStatus"), *_codes(shown, "verificationStatus")]
    yield from (_STATUS_WORDS[status] for status in statuses if status in _STATUS_WORDS)
    onset = date_shown(fact.onset) or date_text(shown, "onset")
    if onset and not problem.doubt and problem.standing is not ProblemStanding.EVENT:
        yield f"{_DATE_WORDS.get(problem.standing, 'Since')} {onset}"
    if ended := date_text(shown, "abatement"):
        yield f"Ended {ended}"
    for content in contents:
        if severity := concept_text(content.get("severity")):
            yield f"Severity: {severity}"
        for stage in concept_texts(content, "stage", "summary"):
            yield f"Stage: {stage}"
    name = name_or_note(shown)
    for content in contents:
        yield from (note for note in notes(content) if not note.endswith(name))


def _codes(content: Mapping[str, Any], element: str) -> list[str]:
    return [code for code in values_at(content, element, "coding", "code") if isinstance(code, str)]
