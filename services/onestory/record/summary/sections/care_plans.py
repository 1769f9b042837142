"""Care plans, and the referrals, requests and orders not to treat that go with them.

Open referrals and requests for advice are shown as text only, because IPS allows no requests in this section. Advice
has a group of its own: a team that was asked for advice has not taken over the care of the person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import wording
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sections.about_me import ended_remark
from onestory.record.summary.sections.plans import is_in_force, plan_line
from onestory.record.summary.values import quantity_text
from onestory.record.summary.wording import name_of, notes
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.json import concept_texts, listed_objects, object_of, objects_at, text_at
from onestory.shared.fhir.references import is_advice_request

_CARE_PLANS = SectionDefinition("18776-5", "Plan of care", types=frozenset(["CarePlan"]))
_REQUESTS = ("ServiceRequest", "NutritionOrder", "DeviceRequest")
_OPEN = {"active", "on-hold"}
_FEEDING = (
    ("oralDiet", "instruction"),
    ("supplement", "instruction"),
    ("enteralFormula", "administrationInstruction"),
)
_MAX_COMPLETED = 10


def plan_of_care(record: SummaryRecord) -> Section | None:
    """The care plans in force, the open referrals and requests, the last completed referrals with their outcomes, and
    the names of the care plans that are over.

    Plans for an emergency stand in their own section only.
    """
    care_plans = list(record.facts("CarePlan"))
    in_force = wording.newest_first(record, (fact for fact in care_plans if is_in_force(record, fact)))
    shown = {fact.id for fact in in_force}
    groups = [
        Group("In force", [plan_line(record, fact) for fact in in_force]),
        Group("Referred", open_referrals(record)),
        Group("Advice asked for", open_advice(record)),
        Group("Completed referrals", completed_referrals(record)),
        Group("Requested elsewhere", requests_elsewhere(record)),
    ]
    over = ended_remark(record, (fact for fact in care_plans if fact.id not in shown))
    return build_section(record, _CARE_PLANS, groups, remarks=[over])


def requests_elsewhere(record: SummaryRecord) -> list[Line]:
    """A line for each open request that another system manages, newest first."""
    facts = [fact for kind in _REQUESTS for fact in record.facts(kind) if is_open_elsewhere(record, fact)]
    return [_request_line(record, fact) for fact in wording.newest_first(record, facts)]


def is_open_elsewhere(record: SummaryRecord, fact: Fact) -> bool:
    """Whether it is a request that another system manages and holds as open."""
    if fact.resource_type not in _REQUESTS or _onestory_statement(record, fact) is not None:
        return False
    return any(text_at(each.content, "status") in _OPEN for each in record.valid_statements(fact))


def _request_line(record: SummaryRecord, fact: Fact) -> Line:
    content = record.shown(fact).content
    details = [*_feeding(content), *_referral_details(content, {}), *notes(content)]
    return Line(fact, [strong(text(name_of(content)))], [text(each) for each in dict.fromkeys(details) if each])


def _feeding(content: Mapping[str, Any]) -> Iterator[str]:
    """How a diet or a tube feed is given (http://hl7.org/fhir/R4/nutritionorder.html); none for other requests."""
    for element, instruction in _FEEDING:
        yield from (text_at(each, instruction) for each in objects_at(content, element))
    if route := ", ".join(concept_texts(content, "enteralFormula", "routeofAdministration")):
        yield route
    yield quantity_text(object_of(content, "enteralFormula").get("maxVolumeToDeliver"))
    excluded = concept_texts(content, "excludeFoodModifier")
    yield f"Without: {', '.join(excluded)}" if excluded else ""


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


def completed_referrals(record: SummaryRecord) -> list[Line]:
    """A line for each of the last ten completed referrals with its outcomes, the last completed first."""
    tasks = _tasks(record)
    return [
        _completed_line(statement, fact, tasks.get(statement.shared_id, {}))
        for statement, fact in _last_completed(record)
    ]


def _last_completed(record: SummaryRecord) -> list[tuple[Statement, Fact]]:
    tasks = _tasks(record)
    completed = [
        (statement, fact)
        for fact in record.facts("ServiceRequest")
        if (statement := _onestory_statement(record, fact))
        and text_at(statement.content, "status") == "completed"
        and not is_advice_request(statement.content)
    ]
    completed.sort(
        key=lambda each: (text_at(tasks.get(each[0].shared_id, {}), "lastModified"), each[1].id), reverse=True
    )
    return completed[:_MAX_COMPLETED]


def _completed_line(statement: Statement, fact: Fact, task: Mapping[str, Any]) -> Line:
    details = [*concept_texts(statement.content, "reasonCode"), *_outcomes(task)]
    if ended := text_at(task, "lastModified"):
        details.append(f"Completed {summary_dates.shown(ended)}")
    if statement.content.get("basedOn"):
        details.append("Part of a journey: the team that held an earlier referral referred on")
    return Line(fact, [strong(text(name_of(statement.content)))], [text(each) for each in dict.fromkeys(details)])


def _outcomes(task: Mapping[str, Any]) -> Iterator[str]:
    """The outputs of a Task in words: texts, codes, and the names of documents."""
    for output in listed_objects(task.get("output")):
        document = object_of(output, "valueReference")
        words = [
            text_at(output, "valueString"),
            *concept_texts(output, "valueCodeableConcept"),
            text_at(document, "display"),
            text_at(object_of(output, "valueAttachment"), "title"),
        ]
        named = next(filter(None, words), "")
        kind = text_at(document, "reference").partition("/")[0]
        if named or kind:
            yield f"Outcome: {named or f'see {kind}'}"


def is_shown_referral(record: SummaryRecord, fact: Fact) -> bool:
    """Whether it is an open or shown completed referral, or a Task of any referral that OneStory manages."""
    statement = _onestory_statement(record, fact)
    if statement is None:
        return False
    if fact.resource_type != "ServiceRequest":
        return fact.resource_type == "Task"
    status = text_at(statement.content, "status")
    return status in _OPEN or (status == "completed" and any(fact.id == each.id for _, each in _last_completed(record)))


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
