"""Plans for emergency care, advance decisions, care plans and open referrals.

Emergency plans are never joined: each is shown as it is, newest first. Open referrals and requests for advice are shown
as text only, because IPS allows no requests in this section. Advice has a group of its own: a team that was asked for
advice has not taken over the care of the person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Fact, FactConflict, Statement
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import wording
from onestory.record.summary.clinical_dates import clinical_date_text
from onestory.record.summary.model import SummaryRecord, summary_codes
from onestory.record.summary.narrative import plain_text, strong, text
from onestory.record.summary.person import name_of_person
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sections.about_me import OUT_OF_FORCE, next_period_end, period_end
from onestory.record.summary.values import period_text, value_text
from onestory.record.summary.wording import name_of, notes, short_text, status_of
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.json import codes_of, concept_text, concept_texts, objects_at, text_at
from onestory.shared.fhir.references import is_advice_request

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
_PLAN_CONFLICTS = {"plan", "plan-wording"}
_CODED = ("category", "type", "code", "scope", "valueCodeableConcept", "description")
_OVER = {"revoked", "completed", "superseded", "inactive", "rejected", "cancelled", "stopped", "not-done"}

_OPEN = {"active", "on-hold"}


def plans(record: SummaryRecord) -> Section | None:
    """The emergency plans and advance decisions in force, whatever the type of their resource."""
    all_plans = [fact for fact in record.facts(*_TYPES) if is_plan(record, fact)]
    in_force = wording.newest_first(record, (fact for fact in all_plans if _in_force(record, fact)))
    remark = wording.omitted_remark(len(all_plans) - len(in_force), OUT_OF_FORCE)
    lines = [_line(record, fact) for fact in in_force]
    return build_section(record, _PLANS, [Group("In force", lines)], remarks=[remark])


def plan_of_care(record: SummaryRecord) -> Section | None:
    """The care plans in force, and the open referrals."""
    care_plans = list(record.facts("CarePlan"))
    in_force = wording.newest_first(record, (fact for fact in care_plans if _in_force(record, fact)))
    groups = [
        Group("In force", [_line(record, fact) for fact in in_force]),
        Group("Referred", open_referrals(record)),
        Group("Advice asked for", open_advice(record)),
    ]
    remark = wording.omitted_remark(len(care_plans) - len(in_force), OUT_OF_FORCE)
    return build_section(record, _CARE_PLANS, groups, remarks=[remark])


def plan_disagreements(record: SummaryRecord) -> list[FactConflict]:
    """The conflicts between plans, each once."""
    found = [conflict for fact in record.all_facts() for conflict in fact.conflicts if conflict.kind in _PLAN_CONFLICTS]
    return list(dict.fromkeys(found))


def is_plan(record: SummaryRecord, fact: Fact) -> bool:
    """Whether any of its statements has a code of a plan."""
    known = summary_codes().plans
    contents = [statement.content for statement in record.valid_statements(fact)]
    return any(codes_of(content, element) & known for content in contents for element in _CODED if element in content)


def _in_force(record: SummaryRecord, fact: Fact) -> bool:
    contents = [statement.content for statement in record.valid_statements(fact)]
    return any(not _is_over(content) and period_end(content) > record.at for content in contents)


def _is_over(content: Mapping[str, Any]) -> bool:
    over = _OVER & {text_at(content, "status"), text_at(content, "clinicalStatus", "coding", "code")}
    # A decision that was recorded as a completed Procedure is in force.
    return bool(over - {"completed"} if content.get("resourceType") == "Procedure" else over)


def _line(record: SummaryRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    details = [text(each) for each in dict.fromkeys(_details(record, fact)) if each]
    title = text_at(shown, "title")
    what = [strong(text(name_of(shown))), *([text(title)] if title and title != name_of(shown) else [])]
    return Line(fact, what, details, next_period_end(record, fact))


def _details(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    for statement in record.valid_statements(fact):
        yield from _statement_details(statement.content)
        yield from (_actor(record, statement, actor) for actor in objects_at(statement.content, "provision", "actor"))
    if date := clinical_date_text(record.shown(fact)):
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


def _statement_details(content: Mapping[str, Any]) -> Iterator[str]:
    description, narrative = text_at(content, "description"), plain_text(text_at(content, "text", "div"))
    yield description
    if narrative != description:
        yield narrative
    yield status_of(content)
    yield period_text(content.get("period"))
    yield from _provisions(content)
    yield value_text(content)
    yield from notes(content)
    for part in objects_at(content, "section"):
        yield f"{text_at(part, 'title')}: {plain_text(text_at(part, 'text', 'div'))}"
    yield from (short_text(activity) for activity in objects_at(content, "activity", "detail"))
    for attachment in objects_at(content, "content", "attachment"):
        yield " ".join(part for part in (text_at(attachment, "title"), text_at(attachment, "url")) if part)


def open_referrals(record: SummaryRecord) -> list[Line]:
    """A line for each open referral that OneStory manages, newest first. Drafts are not shown."""
    return _open(record, of_advice=False)


def open_advice(record: SummaryRecord) -> list[Line]:
    """A line for each open request for advice, newest first."""
    return _open(record, of_advice=True)


def _open(record: SummaryRecord, *, of_advice: bool) -> list[Line]:
    tasks = _tasks(record)
    requests = [
        (statement, fact) for fact in record.facts("ServiceRequest") if (statement := _onestory_statement(record, fact))
    ]
    open_requests = [
        (statement, fact)
        for statement, fact in requests
        if text_at(statement.content, "status") in _OPEN and is_advice_request(statement.content) == of_advice
    ]
    open_requests.sort(key=lambda request: (text_at(request[0].content, "authoredOn"), request[1].id), reverse=True)
    return [_referral_line(statement, fact, tasks.get(statement.shared_id, {})) for statement, fact in open_requests]


def is_shown_referral(record: SummaryRecord, fact: Fact) -> bool:
    """Whether it is an open referral, or a Task of any referral that OneStory manages."""
    statement = _onestory_statement(record, fact)
    if statement is None:
        return False
    is_open = fact.resource_type == "ServiceRequest" and text_at(statement.content, "status") in _OPEN
    return is_open or fact.resource_type == "Task"


def _onestory_statement(record: SummaryRecord, fact: Fact) -> Statement | None:
    return next((statement for statement in record.valid_statements(fact) if statement.system == REFERRAL_SYSTEM), None)


def _tasks(record: SummaryRecord) -> Mapping[str, Mapping[str, Any]]:
    """The Task that changed last for each ServiceRequest, by the id of the ServiceRequest."""
    tasks = [task.content for fact in record.facts("Task") if (task := _onestory_statement(record, fact))]
    tasks.sort(key=lambda task: (text_at(task, "lastModified"), text_at(task, "id")))
    return {text_at(task, "focus", "reference").rpartition("/")[2]: task for task in tasks}


def _referral_line(statement: Statement, fact: Fact, task: Mapping[str, Any]) -> Line:
    details = [text(each) for each in dict.fromkeys(_referral_details(statement.content, task)) if each]
    return Line(fact, [strong(text(name_of(statement.content)))], details)


def _referral_details(request: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[str]:
    if status := text_at(task, "status"):
        asked = "Request for advice" if is_advice_request(request) else "Referral"
        yield ": ".join([f"{asked} {status}", *concept_texts(task, "statusReason")])
    yield text_at(request, "priority")
    yield from concept_texts(request, "reasonCode")
    if written := text_at(request, "authoredOn"):
        yield f"Dated {summary_dates.shown(written)}"
