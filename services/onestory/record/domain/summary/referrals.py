"""Referrals that are open: what was asked for and how far it is. In words alone: IPS refers to no requests here.

Who was asked for advice takes nobody over: that is told apart, lest the person be thought to be seen to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.domain.merge.fact import Fact, Said
from onestory.record.domain.summary import moments
from onestory.record.domain.summary.lines import Line
from onestory.record.domain.summary.narrative import strong, text
from onestory.record.domain.summary.plain import all_named, first
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.wording import name_of
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.advice import asks_for_advice

_OPEN = {"active", "on-hold"}


def open_referrals(record: Record) -> list[Line]:
    """A line for each that was made here and has not ended, the newest first; drafts have been sent to nobody."""
    return _open(record, of_advice=False)


def open_advice(record: Record) -> list[Line]:
    """The same for what a team was asked for advice on."""
    return _open(record, of_advice=True)


def _open(record: Record, *, of_advice: bool) -> list[Line]:
    tasks = _tasks(record)
    found = [(said, fact) for fact in record.facts("ServiceRequest") if (said := _made_here(record, fact))]
    found = [
        (said, fact)
        for said, fact in found
        if first(said.content, "status") in _OPEN and asks_for_advice(said.content) == of_advice
    ]
    found.sort(key=lambda each: (first(each[0].content, "authoredOn"), each[1].id), reverse=True)
    return [_line(said, fact, tasks.get(said.shared_id, {})) for said, fact in found]


def is_shown(record: Record, fact: Fact) -> bool:
    """Whether it is an open referral, or a Task of any referral that was made here."""
    said = _made_here(record, fact)
    if said is None:
        return False
    is_open = fact.resource_type == "ServiceRequest" and first(said.content, "status") in _OPEN
    return is_open or fact.resource_type == "Task"


def _made_here(record: Record, fact: Fact) -> Said | None:
    return next((said for said in record.standing(fact) if said.system == REFERRAL_SYSTEM), None)


def _tasks(record: Record) -> Mapping[str, Mapping[str, Any]]:
    """By the id of its ServiceRequest, the Task that changed last: the one in force."""
    said = [task.content for fact in record.facts("Task") if (task := _made_here(record, fact))]
    said.sort(key=lambda task: (first(task, "lastModified"), first(task, "id")))
    return {first(task, "focus", "reference").rpartition("/")[2]: task for task in said}


def _line(said: Said, fact: Fact, task: Mapping[str, Any]) -> Line:
    details = [text(each) for each in dict.fromkeys(_details(said.content, task)) if each]
    return Line(fact, [strong(text(name_of(said.content)))], details)


def _details(request: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[str]:
    if status := first(task, "status"):
        asked = "Request for advice" if asks_for_advice(request) else "Referral"
        yield ": ".join([f"{asked} {status}", *all_named(task, "statusReason")])
    yield first(request, "priority")
    yield from all_named(request, "reasonCode")
    if written := first(request, "authoredOn"):
        yield f"Dated {moments.shown(written)}"
