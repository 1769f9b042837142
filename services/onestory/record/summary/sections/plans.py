"""Plans for emergency care and advance decisions, whatever the type of their resource.

Plans are never joined: each is shown as it is, newest first. Where plans disagree, or one source has ended what another
holds, `plan_notices` says so at the head of the summary with the date, source and words of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Fact, FactConflict, Statement
from onestory.record.merge.reading import answered, names_plan
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import wording
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import plain_text, strong, text
from onestory.record.summary.person import name_of_person
from onestory.record.summary.places import PLAN
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sections.about_me import ended_remark, is_over, next_period_end, period_end
from onestory.record.summary.values import period_text, value_text
from onestory.record.summary.wording import name_of, notes, repeats, short_text, unusual_status
from onestory.shared.fhir.dates import uk_day
from onestory.shared.fhir.json import concept_text, concept_texts, objects_at, text_at

_PLANS = SectionDefinition(
    "42348-3",
    "Plans for emergency care, and advance decisions",
    types=frozenset(["Consent", "DocumentReference"]),
)
PLAN_CONFLICTS = {
    "plan": "Plans for emergency care disagree.",
    "plan-ended": "ENDED by one source, still in force in another: check which counts.",
    "plan-wording": "Plans for emergency care differ in their words: read each.",
}
"""The kinds of conflicts between plans, with the words that head their notice."""
_ORDER_NOT_TO = "DO NOT PERFORM"


def plans(record: SummaryRecord) -> Section | None:
    """The emergency plans and advance decisions in force, and the names of those that are over."""
    known = record.placed(PLAN)
    in_force = wording.newest_first(record, (fact for fact in known if is_in_force(record, fact)))
    shown = {fact.id for fact in in_force}
    over = ended_remark(record, (fact for fact in known if fact.id not in shown))
    lines = [plan_line(record, fact) for fact in in_force]
    return build_section(record, _PLANS, [Group("In force", lines)], remarks=[over])


def plan_disagreements(record: SummaryRecord) -> list[FactConflict]:
    """The conflicts between plans, each once."""
    found = [conflict for fact in record.all_facts() for conflict in fact.conflicts if conflict.kind in PLAN_CONFLICTS]
    return [each for each in dict.fromkeys(found) if _is_between_plans_in_force(record, each)]


def _is_between_plans_in_force(record: SummaryRecord, conflict: FactConflict) -> bool:
    """Whether the conflict has not ended by itself: a plan whose period is over disagrees with nothing."""
    sides = [[found for each in side if (found := record.statement(each))] for side in conflict.sides]
    in_force = sum(any(_holds(record, each.content) for each in side) for side in sides)
    return in_force >= (1 if conflict.kind == "plan-ended" else min(2, len(sides)))


def _holds(record: SummaryRecord, content: Mapping[str, Any]) -> bool:
    return not is_over(content) and period_end(content) > record.at


def plan_notices(record: SummaryRecord) -> Iterator[str]:
    """Yields a notice (XHTML) for each disagreement between plans: every plan with source, date and words."""
    for conflict in plan_disagreements(record):
        stated = [found for side in conflict.sides for each in side if (found := record.statement(each))]
        stated.sort(key=lambda each: (-_told(each).timestamp(), each.shared_id))
        quotes = [_quote(record, statement) for statement in stated]
        yield "<br/>".join([strong(PLAN_CONFLICTS[conflict.kind]), *quotes])


def _told(statement: Statement) -> Any:
    """The end of a decision that is over, else its date."""
    return statement.recorded_at if is_over(statement.content) else clinical_date(statement).begin


def _quote(record: SummaryRecord, statement: Statement) -> str:
    content = statement.content
    day = summary_dates.day(uk_day(_told(statement)))
    ended = f"{strong('ENDED')}: " if is_over(content) else ""
    order = f"{_ORDER_NOT_TO}: " if content.get("doNotPerform") is True else ""
    words = dict.fromkeys([f"{order}{name_of(content)}", value_text(content), *_words(content), *notes(content)])
    said = ". ".join(each.rstrip(".") for each in words if each)
    return f"{text(record.organisation_of(statement))}, {day}: {ended}{text(said)}"


def is_in_force(record: SummaryRecord, fact: Fact) -> bool:
    """Whether any source holds a plan as in force."""
    contents = [statement.content for statement in record.valid_statements(fact)]
    return any(_holds(record, content) for content in contents)


def plan_line(record: SummaryRecord, fact: Fact) -> Line:
    """The line of a plan, with the ends that other sources state."""
    shown = record.shown(fact).content
    said = dict.fromkeys(_details(record, fact))
    details = [text(each) for each in said if each and each != name_of(shown)]
    title = text_at(shown, "title")
    name = name_of(shown)
    if not names_plan(name):
        # A scanned document is named by what its title says.
        name = next((each for each in _titles(shown) if names_plan(each)), name)
    order = f"{_ORDER_NOT_TO}: " if shown.get("doNotPerform") is True else ""
    what = [strong(text(f"{order}{name}")), *([text(title)] if title and not repeats(name, title) else [])]
    details = [*(strong(each) for each in _ends(record, fact)), *details]
    return Line(fact, what, details, next_period_end(record, fact))


def _titles(content: Mapping[str, Any]) -> Iterator[str]:
    yield text_at(content, "title")
    yield text_at(content, "description")
    yield from (text_at(each, "title") for each in objects_at(content, "content", "attachment"))


def _details(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    for statement in record.valid_statements(fact):
        yield from _statement_details(statement.content)
        yield from (_actor(record, statement, actor) for actor in objects_at(statement.content, "provision", "actor"))
    date, period = clinical_date_text(record.shown(fact)), period_text(record.shown(fact).content.get("period"))
    if date and not period.startswith(f"from {date}"):
        yield f"Dated {date}"


def _actor(record: SummaryRecord, statement: Statement, actor: Mapping[str, Any]) -> str:
    """The role and name of an actor of a decision, such as the attorney."""
    parts = [concept_text(actor.get("role"))]
    for reference in objects_at(actor, "reference"):
        found = record.resolve(statement, reference)
        parts.append(
            text_at(reference, "display") or (_actor_name(record, found) if found else text_at(reference, "reference"))
        )
    return ": ".join(part for part in parts if part)


def _actor_name(record: SummaryRecord, actor: Mapping[str, Any]) -> str:
    """The name of an actor; for a role, the name of who holds it, else of its organisation."""
    for element in ("practitioner", "organization"):
        for reference in objects_at(actor, element):
            if name := text_at(reference, "display"):
                return name
            if found := record.lookup.find(actor, reference):
                return name_of_person(found)
    return name_of_person(actor)


def _provisions(content: Mapping[str, Any]) -> Iterator[str]:
    """Yields the provisions of a Consent (permit or deny), followed by their exceptions."""
    ahead = objects_at(content, "provision")
    while ahead:
        provision = ahead.pop(0)
        about = ", ".join([*concept_texts(provision, "action"), *concept_texts(provision, "code")])
        parts = [text_at(provision, "type"), about, period_text(provision.get("period"))]
        yield ": ".join(part for part in parts if part) if about else ""
        ahead += objects_at(provision, "provision")


def _ends(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    """Yields what other sources say of the end of this decision (XHTML)."""
    own = {statement.shared_id for statement in fact.members}
    for conflict in fact.conflicts:
        if conflict.kind == "plan-ended":
            sides = [side for side in conflict.sides if own.isdisjoint(side)]
            stated = [found for side in sides for each in side if (found := record.statement(each))]
            yield from (_quote(record, statement) for statement in stated)


def activities(content: Mapping[str, Any]) -> Iterator[str]:
    """Yields the activities of a care plan, each with its status."""
    for activity in objects_at(content, "activity", "detail"):
        named = concept_text(activity.get("code")) or text_at(activity, "description")
        yield ", ".join(part for part in (named, text_at(activity, "status")) if part) or short_text(activity)


def _words(content: Mapping[str, Any]) -> Iterator[str]:
    """Yields the description and the narrative, and what the narrative says besides the description only."""
    description, narrative = text_at(content, "description"), plain_text(text_at(content, "text", "div"))
    if description not in narrative:
        yield description
    yield narrative or description


def _statement_details(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _words(content)
    yield unusual_status(content)
    yield period_text(content.get("period"))
    yield from (str(answer) for answer, _ in answered(content))
    yield from _provisions(content)
    yield value_text(content)
    yield from notes(content)
    for part in objects_at(content, "section"):
        yield f"{text_at(part, 'title')}: {plain_text(text_at(part, 'text', 'div'))}"
    yield from activities(content)
    for attachment in objects_at(content, "content", "attachment"):
        yield " ".join(part for part in (text_at(attachment, "title"), text_at(attachment, "url")) if part)
