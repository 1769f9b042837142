"""Changes of what an open referral says: its priority, and its request. Pure.

No amendment changes the status, the holder or the team. Both sides are told, because work may rest on the old words.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from onestory.referral.clocks.domain import PRIORITIES, Clocks
from onestory.referral.lifecycle.creation import ReferralRequest, refuse_other_requester
from onestory.referral.lifecycle.decide import build_change, with_acting_party, with_priority
from onestory.referral.lifecycle.model import ChangeContext, Json, Reason, Referral, ReferralChange, Side
from onestory.referral.lifecycle.render import party_reference
from onestory.shared.errors import Conflict, Forbidden, Unprocessable
from onestory.shared.events import Party
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.json import concept_text

AMEND, PRIORITISE = "amend", "prioritise"
OPERATION_PARAMETERS: dict[str, tuple[str, ...]] = {
    PRIORITISE: ("priority", "reason"),
    AMEND: ("request", "note", "supportingInfo"),
}
"""The operations, and the parameters of each."""

# Both belong to the journey, and not to the words of the request.
_KEPT_FIELDS = ("basedOn", "replaces")


@dataclass(frozen=True, slots=True)
class Amendment:
    """The new request (None: it stays), and what is added to it: a note, and References to resources on the record."""

    request: ReferralRequest | None = None
    note: str = ""
    supporting_info: tuple[Json, ...] = ()


def prioritise(
    referral: Referral,
    priority: str,
    reason: Reason | None,
    sides: Collection[Side],
    context: ChangeContext,
    clocks: Clocks,
) -> ReferralChange:
    """The change of the priority, by any side. A reason becomes a note of the request; a lower priority needs one.

    Raises `Conflict` and `Unprocessable`.
    """
    _refuse_ended(referral)
    if priority not in PRIORITIES:
        raise Unprocessable(
            f"priority is one of {', '.join(PRIORITIES)}.",
            code="code-invalid" if priority else "required",
            expression="Parameters.parameter.where(name='priority')",
        )
    if priority == referral.priority:
        raise Conflict(f"The referral is {priority} already.", code="conflict")
    if reason is None and PRIORITIES.index(priority) < PRIORITIES.index(referral.priority):
        raise Unprocessable(
            f"A referral that is {referral.priority} becomes {priority} only with the parameter reason.",
            code="required",
            expression="Parameters.parameter.where(name='reason')",
        )
    context = with_acting_party(referral, sides, context)
    words = f"Priority changed from {referral.priority} to {priority}"
    text = f"{words}: {concept_text(reason.concept) or reason.code}" if reason else words
    after = replace(
        with_priority(referral, priority, context.at, clocks),
        version=referral.version + 1,
        service_request=_with_note(referral.service_request, text, context),
    )
    change = build_change(referral, after, PRIORITISE, context)
    return replace(change, reason=reason.code if reason else "")


def amend(
    referral: Referral, amendment: Amendment, sides: Collection[Side], context: ChangeContext, clocks: Clocks
) -> ReferralChange:
    """The change of the request, by the requester's side.

    Raises `Forbidden` for the team, `Conflict` after the end, and `Unprocessable` where nothing is amended, or the new
    request is about another person or of another kind.
    """
    if sides and set(sides) == {Side.RECIPIENT}:
        raise Forbidden("Only its requester may amend a referral: ask for more with $message, or change the priority.")
    _refuse_ended(referral)
    context = with_acting_party(referral, set(sides) - {Side.RECIPIENT}, context)
    after = referral
    if amendment.request is not None:
        after = _with_request(referral, amendment.request, context, clocks)
    if amendment.note:
        after = replace(after, service_request=_with_note(after.service_request, amendment.note, context))
    if amendment.supporting_info:
        info = [*after.service_request.get("supportingInfo", ()), *amendment.supporting_info]
        after = replace(after, service_request={**after.service_request, "supportingInfo": info})
    if after == referral:
        raise Unprocessable(
            "Nothing is amended: send request (the whole ServiceRequest), note or supportingInfo.",
            code="required",
            expression="Parameters.parameter",
        )
    return build_change(referral, replace(after, version=referral.version + 1), AMEND, context)


def _with_request(referral: Referral, request: ReferralRequest, context: ChangeContext, clocks: Clocks) -> Referral:
    path = "Parameters.parameter.where(name='request').resource"
    if request.person != referral.person:
        problem = "The referral is about another person: use $correct, and make a new one."
        raise Unprocessable(problem, code="business-rule", expression=f"{path}.subject")
    if request.kind is not referral.kind:
        problem = f"The referral is of the kind {referral.kind}: make a new one of another kind."
        raise Unprocessable(problem, code="business-rule", expression=f"{path}.category")
    refuse_other_requester(request, referral.requester)
    kept = {name: referral.service_request[name] for name in _KEPT_FIELDS if name in referral.service_request}
    amended = replace(referral, service_request={**request.body, **kept})
    return with_priority(amended, request.priority, context.at, clocks)


def _with_note(requested: Json, text: str, context: ChangeContext) -> Json:
    """The ServiceRequest with one more Annotation (http://hl7.org/fhir/R4/datatypes.html#Annotation)."""
    author = party_reference(Party(context.actor.party.organisation))
    note = {"authorReference": author, "time": format_instant(context.at), "text": text}
    return {**requested, "note": [*requested.get("note", ()), note]}


def _refuse_ended(referral: Referral) -> None:
    if not referral.is_open:
        raise Conflict(
            f"The referral has ended ({referral.status}): make a new one with basedOn, or use $correct for a mistake.",
            code="conflict",
        )
