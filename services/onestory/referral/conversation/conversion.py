"""Advice that becomes a referral: nothing is typed again, and what was said goes along."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onestory.referral.clocks.domain import PRIORITIES, Clocks
from onestory.referral.lifecycle.creation import Asking, ReferralRequest, TeamNamed, create, referral_id
from onestory.referral.lifecycle.decide import acting, finish
from onestory.referral.lifecycle.machine import ADVICE_CONVERTED, Doing, ReferralChange, Side
from onestory.referral.lifecycle.model import Json, Referral, ReferralKind, Status
from onestory.referral.lifecycle.render import ONESTORY
from onestory.shared.errors import Conflict, Forbidden, Unprocessable
from onestory.shared.events import Party
from onestory.shared.fhir.references import ADVICE
from onestory.shared.identity import Keys

MAY_CONVERT = f"{ONESTORY}/advice-may-be-converted"
"""Extension on the ServiceRequest of advice: the team that is asked may make a referral of it."""

# What is of the request for advice alone. Its business identifiers too: with them, the record would take both for one.
_OF_THE_ADVICE = ("extension", "category", "identifier", "authoredOn", "supportingInfo", "replaces")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a referral shall be made of advice: to which team, and how urgent (empty: as the advice was)."""

    recipient: Party
    priority: str = ""


def convert(
    advice: Referral,
    wanted: Conversion,
    messages: Sequence[str],
    sides: Collection[Side],
    doing: Doing,
    referring: Doing,
    clocks: Clocks,
    keys: Keys,
) -> tuple[ReferralChange, ReferralChange]:
    """The end of the advice, and the beginning of the referral: two changes, to be written together.

    `messages` are the ids of what was said. `doing` is the first change, `referring` the second. Raises `Conflict`,
    `Forbidden`, `Unprocessable`.
    """
    _refuse(advice, wanted, sides, keys)
    by = sides if Side.REQUESTER not in sides else [Side.REQUESTER]
    doing, referring = acting(advice, by, doing), acting(advice, by, referring)
    asked = ReferralRequest(
        person=advice.person,
        team=TeamNamed(wanted.recipient.team, "", "Parameters.parameter.where(name='recipient')"),
        status=Status.REQUESTED,
        kind=ReferralKind.REFERRAL,
        priority=wanted.priority or advice.priority,
        body=_body(advice, messages),
    )
    asking = Asking(advice.requester, advice.requester_subject, _local_id(advice))
    made = create(asked, wanted.recipient, asking, referring, clocks, keys)
    output = {
        "type": {"text": "referral"},
        "valueReference": {"reference": f"ServiceRequest/{made.referral.referral_id}"},
    }
    ended = replace(
        advice,
        version=advice.version + 1,
        status=Status.COMPLETED,
        business_status=ADVICE_CONVERTED,
        is_open=False,
        reason=None,
        outputs=(*advice.outputs, output),
        acts_next="",
        question_id="",
        due_at=None,
        until=None,
        escalated_at=None,
        claimed_by="",
    )
    return finish(advice, ended, "convert", doing), made


def converted_id(advice: Referral, keys: Keys) -> str:
    """The shared id of the referral that this advice becomes, or has become."""
    return referral_id(keys, advice.person, advice.requester.organisation, _local_id(advice))


def _local_id(advice: Referral) -> str:
    # One name, so that advice becomes one referral at most.
    return f"{advice.local_id}-referral"


def _refuse(advice: Referral, wanted: Conversion, sides: Collection[Side], keys: Keys) -> None:
    if advice.kind is not ReferralKind.ADVICE:
        raise Conflict("Only a request for advice becomes a referral: this is one already.", code="conflict")
    if advice.business_status == ADVICE_CONVERTED:
        raise Conflict(
            f"It has become a referral before: ServiceRequest/{converted_id(advice, keys)}.", code="duplicate"
        )
    if advice.status not in (Status.REQUESTED, Status.RECEIVED):
        says = f"It is {advice.status}" + ("" if advice.is_open else " and has ended")
        raise Conflict(f"{says}: refer the person with POST /fhir/ServiceRequest.", code="conflict")
    if Side.REQUESTER not in sides and not _may_convert(advice):
        raise Forbidden("Only who asked for the advice may make a referral of it: advise it, with $message.")
    if wanted.priority and wanted.priority not in PRIORITIES:
        says = f"priority is one of {', '.join(PRIORITIES)}."
        raise Unprocessable(says, code="code-invalid", expression="Parameters.parameter.where(name='priority')")
    if wanted.priority and PRIORITIES.index(wanted.priority) < PRIORITIES.index(advice.priority):
        raise Unprocessable(
            f"The advice is {advice.priority}: the referral may be more urgent, not less.",
            code="business-rule",
            expression="Parameters.parameter.where(name='priority')",
        )


def _may_convert(advice: Referral) -> bool:
    extensions = advice.service_request.get("extension", ())
    return any(each.get("url") == MAY_CONVERT and each.get("valueBoolean") is True for each in extensions)


def _body(advice: Referral, messages: Sequence[str]) -> Json:
    said = advice.service_request
    body: dict[str, Any] = {name: value for name, value in said.items() if name not in _OF_THE_ADVICE}
    more: dict[str, list[Json]] = {
        "extension": [each for each in said.get("extension", ()) if each.get("url") != MAY_CONVERT],
        "category": [kept for each in said.get("category", ()) if (kept := _not_advice(each))],
        "supportingInfo": [
            *said.get("supportingInfo", ()),
            *({"reference": f"Communication/{each}"} for each in messages),
        ],
        "replaces": [{"reference": f"ServiceRequest/{advice.referral_id}"}],
    }
    return {**body, **{name: values for name, values in more.items() if values}}


def _not_advice(category: Json) -> Json:
    """A category without the coding that made it a request for advice; empty where nothing else is in it."""
    codings = category.get("coding", ())
    kept = [each for each in codings if (each.get("system"), each.get("code")) != ADVICE]
    if len(kept) == len(codings):
        return category
    return {**category, "coding": kept} if kept else {}
