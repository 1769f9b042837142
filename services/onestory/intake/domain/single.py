"""A submission of one resource: create, update or delete (http://hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

import msgspec

from onestory.intake.domain.address import identifier_in, person_in
from onestory.intake.domain.item import Item, members_of, refuse_bad_id, refuse_type, text
from onestory.intake.domain.submission import Submission
from onestory.shared.errors import Malformed, NotFound, Unprocessable
from onestory.shared.fhir.definitions import resource_types
from onestory.shared.fhir.validation import validate


def open_resource(submission: Submission) -> Item:
    """The one item. Raises `Malformed`, `Unprocessable` or `PreconditionFailed`."""
    if submission.resource_type not in resource_types():
        raise NotFound("The URL names no FHIR R4 resource type: send to /fhir/<type>, or a Bundle to /fhir.")
    refuse_type(submission.resource_type, submission.resource_type)
    if submission.resource_id:
        refuse_bad_id(submission.resource_id, f"{submission.resource_type}.id")
    return _retraction(submission) if submission.method == "DELETE" else _assertion(submission)


def _retraction(submission: Submission) -> Item:
    person = person_in(submission.search, "")
    if not submission.resource_id:
        raise Unprocessable("Say what to delete: Type/id.", code="required")
    kind = submission.resource_type
    return Item(0, "DELETE", kind, path=kind, resource_id=submission.resource_id, person=person)


def _assertion(submission: Submission) -> Item:
    if issues := validate(submission.body):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    members, kind = members_of(submission.body), submission.resource_type
    if text(members, "resourceType") != kind:
        raise Malformed("The type in the URL and the resourceType differ: send them alike.", expression="Resource")
    return Item(
        index=0,
        method=submission.method,
        resource_type=kind,
        path=kind,
        resource_id=_resource_id(submission, text(members, "id")),
        identifier=_identifier(submission),
        members=members,
        raw=msgspec.Raw(submission.body),
    )


def _identifier(submission: Submission) -> str:
    if submission.method == "PUT" and not submission.resource_id:
        return identifier_in(submission.search, "")
    if submission.search:
        raise Unprocessable("A search has no place in this URL: leave it out.", code="not-supported")
    return identifier_in(submission.if_none_exist, "") if submission.if_none_exist else ""


def _resource_id(submission: Submission, own: str) -> str:
    path = f"{submission.resource_type}.id"
    if submission.method == "PUT" and submission.resource_id and own != submission.resource_id:
        raise Malformed("The id in the resource must be the one in the URL.", code="value", expression=path)
    if own:
        refuse_bad_id(own, path)
    return own
