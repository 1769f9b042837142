"""Plans for emergency care and treatment, and decisions made in advance: each as it is, newest first, never joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.domain.merge.fact import Conflict, Fact, Said
from onestory.record.domain.summary import dates
from onestory.record.domain.summary.alerts import ends, ends_next
from onestory.record.domain.summary.lines import About, Group, Line, section
from onestory.record.domain.summary.narrative import plain, strong, text
from onestory.record.domain.summary.person import name_of_person
from onestory.record.domain.summary.plain import all_named, codes, first, named, objects
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.referrals import open_advice, open_referrals
from onestory.record.domain.summary.reviewed import reviewed
from onestory.record.domain.summary.section import Section
from onestory.record.domain.summary.wording import in_brief, name_of, notes, period_of, status_of, value_of

_PLANS = About(
    "42348-3",
    "Plans for emergency care, and advance decisions",
    types=frozenset(["Consent", "DocumentReference"]),
)
_CARE_PLANS = About("18776-5", "Plan of care", types=frozenset(["CarePlan"]))
_TYPES = (
    "CarePlan",
    "Composition",
    "Condition",
    "Consent",
    "DocumentReference",
    "Flag",
    "Goal",
    "Observation",
    "Procedure",
    "QuestionnaireResponse",
    "ServiceRequest",
)
_DISAGREE = {"plan", "plan-wording"}
_CODED = ("category", "type", "code", "scope", "valueCodeableConcept", "description")
_OVER = {"revoked", "completed", "superseded", "inactive", "rejected", "cancelled", "stopped", "not-done"}


def plans(record: Record) -> Section | None:
    """The plans in force, of every kind of resource that may hold one."""
    every = [fact for fact in record.facts(*_TYPES) if is_plan(record, fact)]
    held = dates.newest_first(record, (fact for fact in every if _in_force(record, fact)))
    over = len(every) - len(held)
    remarks = [f"More is held: {over} that are no longer in force are not shown here."] if over else []
    return section(record, _PLANS, [Group("In force", [_line(record, fact) for fact in held])], remarks=remarks)


def plan_of_care(record: Record) -> Section | None:
    """Care plans in force, and referrals that are open."""
    held = dates.newest_first(record, (fact for fact in record.facts("CarePlan") if _in_force(record, fact)))
    groups = [
        Group("In force", [_line(record, fact) for fact in held]),
        Group("Referred", open_referrals(record)),
        Group("Advice asked for", open_advice(record)),
    ]
    return section(record, _CARE_PLANS, groups)


def disagreements(record: Record) -> list[Conflict]:
    """What plans contradict each other in, each once."""
    found = [conflict for fact in record.everything() for conflict in fact.conflicts if conflict.kind in _DISAGREE]
    return list(dict.fromkeys(found))


def is_plan(record: Record, fact: Fact) -> bool:
    """Whether any statement of it is one of the reviewed plans."""
    known = reviewed().plans
    contents = [said.content for said in record.standing(fact)]
    return any(codes(each, element) & known for each in contents for element in _CODED if element in each)


def _in_force(record: Record, fact: Fact) -> bool:
    said = [each.content for each in record.standing(fact)]
    return any(not _is_over(each) and ends(each) > record.at for each in said)


def _is_over(content: Mapping[str, Any]) -> bool:
    over = _OVER & {first(content, "status"), first(content, "clinicalStatus", "coding", "code")}
    # A decision that was recorded as something done stands: it was made.
    return bool(over - {"completed"} if content.get("resourceType") == "Procedure" else over)


def _line(record: Record, fact: Fact) -> Line:
    shown = record.shown(fact).content
    details = [text(each) for each in dict.fromkeys(_details(record, fact)) if each]
    title = first(shown, "title")
    what = [strong(text(name_of(shown))), *([text(title)] if title and title != name_of(shown) else [])]
    return Line(fact, what, details, ends_next(record, fact))


def _details(record: Record, fact: Fact) -> Iterator[str]:
    for said in record.standing(fact):
        yield from _said(said.content)
        yield from (_actor(record, said, actor) for actor in objects(said.content, "provision", "actor"))
    if date := dates.in_words(record.shown(fact)):
        yield f"Dated {date}"


def _actor(record: Record, said: Said, actor: Mapping[str, Any]) -> str:
    """Whom a decision names, such as the attorney."""
    told = [named(actor.get("role"))]
    for reference in objects(actor, "reference"):
        found = record.resolved(said, reference)
        told.append(first(reference, "display") or (name_of_person(found) if found else first(reference, "reference")))
    return ": ".join(part for part in told if part)


def _decided(content: Mapping[str, Any]) -> Iterator[str]:
    """What a Consent permits or denies, its exceptions after it."""
    ahead = objects(content, "provision")
    while ahead:
        provision = ahead.pop(0)
        about = ", ".join([*all_named(provision, "action"), *all_named(provision, "code")])
        told = [first(provision, "type"), about, period_of(provision.get("period"))]
        yield ": ".join(part for part in told if part) if about else ""
        ahead += objects(provision, "provision")


def _said(content: Mapping[str, Any]) -> Iterator[str]:
    description, told = first(content, "description"), plain(first(content, "text", "div"))
    yield description
    if told != description:
        yield told
    yield status_of(content)
    yield period_of(content.get("period"))
    yield from _decided(content)
    yield value_of(content)
    yield from notes(content)
    for part in objects(content, "section"):
        yield f"{first(part, 'title')}: {plain(first(part, 'text', 'div'))}"
    yield from (in_brief(activity) for activity in objects(content, "activity", "detail"))
    for attachment in objects(content, "content", "attachment"):
        yield " ".join(part for part in (first(attachment, "title"), first(attachment, "url")) if part)
