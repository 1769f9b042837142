"""Plans for emergency care and treatment, and decisions made in advance: each as it is, newest first, never joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Fact, FactConflict, Statement
from onestory.record.summary import moments, wording
from onestory.record.summary.model import MergedRecord, reviewed
from onestory.record.summary.narrative import plain, strong, text
from onestory.record.summary.person import name_of_person
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, section
from onestory.record.summary.sections.about_me import ends, ends_next
from onestory.record.summary.wording import in_brief, name_of, notes, period_of, status_of, value_of
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.json import all_named, codes, first, named, objects
from onestory.shared.fhir.references import asks_for_advice

# Referrals that are open: what was asked for and how far it is. In words alone: IPS refers to no requests here.
#
# Who was asked for advice takes nobody over: that is told apart, lest the person be thought to be seen to.

_OPEN = {"active", "on-hold"}


def open_referrals(record: MergedRecord) -> list[Line]:
    """A line for each that was made here and has not ended, the newest first; drafts have been sent to nobody."""
    return _open(record, of_advice=False)


def open_advice(record: MergedRecord) -> list[Line]:
    """The same for what a team was asked for advice on."""
    return _open(record, of_advice=True)


def _open(record: MergedRecord, *, of_advice: bool) -> list[Line]:
    tasks = _tasks(record)
    found = [(said, fact) for fact in record.facts("ServiceRequest") if (said := _made_here(record, fact))]
    found = [
        (said, fact)
        for said, fact in found
        if first(said.content, "status") in _OPEN and asks_for_advice(said.content) == of_advice
    ]
    found.sort(key=lambda each: (first(each[0].content, "authoredOn"), each[1].id), reverse=True)
    return [_referrals_line(said, fact, tasks.get(said.shared_id, {})) for said, fact in found]


def is_shown(record: MergedRecord, fact: Fact) -> bool:
    """Whether it is an open referral, or a Task of any referral that was made here."""
    said = _made_here(record, fact)
    if said is None:
        return False
    is_open = fact.resource_type == "ServiceRequest" and first(said.content, "status") in _OPEN
    return is_open or fact.resource_type == "Task"


def _made_here(record: MergedRecord, fact: Fact) -> Statement | None:
    return next((said for said in record.standing(fact) if said.system == REFERRAL_SYSTEM), None)


def _tasks(record: MergedRecord) -> Mapping[str, Mapping[str, Any]]:
    """By the id of its ServiceRequest, the Task that changed last: the one in force."""
    said = [task.content for fact in record.facts("Task") if (task := _made_here(record, fact))]
    said.sort(key=lambda task: (first(task, "lastModified"), first(task, "id")))
    return {first(task, "focus", "reference").rpartition("/")[2]: task for task in said}


def _referrals_line(said: Statement, fact: Fact, task: Mapping[str, Any]) -> Line:
    details = [text(each) for each in dict.fromkeys(_referrals_details(said.content, task)) if each]
    return Line(fact, [strong(text(name_of(said.content)))], details)


def _referrals_details(request: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[str]:
    if status := first(task, "status"):
        asked = "Request for advice" if asks_for_advice(request) else "Referral"
        yield ": ".join([f"{asked} {status}", *all_named(task, "statusReason")])
    yield first(request, "priority")
    yield from all_named(request, "reasonCode")
    if written := first(request, "authoredOn"):
        yield f"Dated {moments.shown(written)}"


_PLANS = SectionDefinition(
    "42348-3",
    "Plans for emergency care, and advance decisions",
    types=frozenset(["Consent", "DocumentReference"]),
)
_CARE_PLANS = SectionDefinition("18776-5", "Plan of care", types=frozenset(["CarePlan"]))
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


def plans(record: MergedRecord) -> Section | None:
    """The plans in force, of every kind of resource that may hold one."""
    every = [fact for fact in record.facts(*_TYPES) if is_plan(record, fact)]
    held = wording.newest_first(record, (fact for fact in every if _in_force(record, fact)))
    over = len(every) - len(held)
    remarks = [f"More is held: {over} that are no longer in force are not shown here."] if over else []
    return section(record, _PLANS, [Group("In force", [_line(record, fact) for fact in held])], remarks=remarks)


def plan_of_care(record: MergedRecord) -> Section | None:
    """Care plans in force, and referrals that are open."""
    held = wording.newest_first(record, (fact for fact in record.facts("CarePlan") if _in_force(record, fact)))
    groups = [
        Group("In force", [_line(record, fact) for fact in held]),
        Group("Referred", open_referrals(record)),
        Group("Advice asked for", open_advice(record)),
    ]
    return section(record, _CARE_PLANS, groups)


def disagreements(record: MergedRecord) -> list[FactConflict]:
    """What plans contradict each other in, each once."""
    found = [conflict for fact in record.everything() for conflict in fact.conflicts if conflict.kind in _DISAGREE]
    return list(dict.fromkeys(found))


def is_plan(record: MergedRecord, fact: Fact) -> bool:
    """Whether any statement of it is one of the reviewed plans."""
    known = reviewed().plans
    contents = [said.content for said in record.standing(fact)]
    return any(codes(each, element) & known for each in contents for element in _CODED if element in each)


def _in_force(record: MergedRecord, fact: Fact) -> bool:
    said = [each.content for each in record.standing(fact)]
    return any(not _is_over(each) and ends(each) > record.at for each in said)


def _is_over(content: Mapping[str, Any]) -> bool:
    over = _OVER & {first(content, "status"), first(content, "clinicalStatus", "coding", "code")}
    # A decision that was recorded as something done stands: it was made.
    return bool(over - {"completed"} if content.get("resourceType") == "Procedure" else over)


def _line(record: MergedRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    details = [text(each) for each in dict.fromkeys(_details(record, fact)) if each]
    title = first(shown, "title")
    what = [strong(text(name_of(shown))), *([text(title)] if title and title != name_of(shown) else [])]
    return Line(fact, what, details, ends_next(record, fact))


def _details(record: MergedRecord, fact: Fact) -> Iterator[str]:
    for said in record.standing(fact):
        yield from _said(said.content)
        yield from (_actor(record, said, actor) for actor in objects(said.content, "provision", "actor"))
    if date := wording.in_words(record.shown(fact)):
        yield f"Dated {date}"


def _actor(record: MergedRecord, said: Statement, actor: Mapping[str, Any]) -> str:
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
