"""A submission taken apart: its items, and what went wrong with those of a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from onestory.intake.domain.bundle import (
    NOTHING,
    Bundle,
    Meta,
    read_bundle,
    read_meta,
    refuse_broken,
    refuse_referral_message,
    resource_type,
    said_in,
)
from onestory.intake.domain.item import (
    Item,
    members_of,
    open_entry,
    refuse_bad_id,
    refuse_operated,
    refuse_type,
    refused_entry,
    text,
)
from onestory.intake.domain.judgement import named_ids
from onestory.intake.domain.request import PublisherClaims, Submission, identifier_in, person_in, refuse_preconditions
from onestory.shared.errors import Issue, Malformed, NotFound, OneStoryError, Unprocessable
from onestory.shared.fhir.definitions import resource_types
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import parse_shared_id

# A submission of one resource: create, update or delete (http://hl7.org/fhir/R4/http.html).


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


_RESOURCE = re.compile(r"Bundle\.entry\[(\d+)\]\.resource\b")
_PATIENT = re.compile(rb"Patient/([a-z2-7]{26}-[a-z2-7]{26})")


@dataclass(frozen=True, slots=True)
class Opened:
    """The items that could be read, by their place, and the errors of those that are refused already.

    `bundle_type` is empty for one resource. `meta` and `timestamp` are the Bundle's; `size` counts its entries.
    """

    bundle_type: str
    size: int
    items: Sequence[Item]
    errors: Mapping[int, OneStoryError] = field(default_factory=dict)
    meta: Meta = NOTHING
    timestamp: str | None = None
    body: bytes = b""

    @property
    def is_batch(self) -> bool:
        return self.bundle_type == "batch"

    def said(self) -> PublisherClaims:
        """What the tags of the Bundle, or of the one resource, say of the statement."""
        if self.bundle_type or not self.items:
            return said_in(self.meta)
        return said_in(read_meta(self.items[0].members.get("meta")))

    def own_ids(self) -> set[str]:
        """The ids in our own form whose meaning decides something here: of resources, and of whom they are about."""
        ids = {each for item in self.items for each in (item.resource_id, item.person) if parse_shared_id(each)}
        return ids | self.judged_ids() | {match.decode() for match in _PATIENT.findall(self.body)}

    def judged_ids(self) -> set[str]:
        """Those of them that judgements name: of whom each is, under all of that person's identities, decides too."""
        return {each for item in self.items for each in named_ids(item)}


def open_submission(submission: Submission, base_url: str) -> Opened:
    """Read it. Raises `Malformed`, `Unprocessable`, `PreconditionFailed`, `NotAllowed`; for a batch only as a whole."""
    refuse_operated(submission)
    refuse_preconditions(list(submission.preconditions))
    if submission.if_none_exist and (submission.method != "POST" or not submission.resource_type):
        refuse_preconditions(["If-None-Exist"])
    if not submission.resource_type:
        return _open_bundle(submission.body.removeprefix(b"\xef\xbb\xbf"), base_url)
    plain = replace(submission, body=submission.body.removeprefix(b"\xef\xbb\xbf"))
    return Opened("", 1, [open_resource(plain)], body=plain.body)


def _open_bundle(body: bytes, base_url: str) -> Opened:
    issues = validate(body)
    if issues and not all(_RESOURCE.match(issue.expression) for issue in issues):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    _refuse_other_resource(body)
    bundle = read_bundle(body)
    if issues and bundle.type != "batch":
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    refuse_broken(bundle)
    refuse_referral_message(bundle)
    items, errors = _items(bundle, base_url)
    return Opened(
        bundle_type=bundle.type,
        size=len(bundle.entry),
        items=items,
        errors={**errors, **_by_entry(issues)},
        meta=bundle.meta,
        timestamp=bundle.timestamp,
        body=body,
    )


def _refuse_other_resource(body: bytes) -> None:
    kind = resource_type(body)
    if kind != "Bundle":
        says = f"Only a Bundle can be sent here: send this resource to /fhir/{kind}."
        raise Malformed(says, code="value", expression="Resource")


def _items(bundle: Bundle, base_url: str) -> tuple[list[Item], dict[int, OneStoryError]]:
    items, errors = [], {}
    for index, entry in enumerate(bundle.entry):
        try:
            items.append(open_entry(index, entry, base_url))
        except OneStoryError as error:
            errors[index] = error
            items += refused_entry(index, entry, base_url)
    if errors and bundle.type != "batch":
        raise all_of(list(errors.values()))
    return items, errors


def _by_entry(issues: Sequence[Issue]) -> dict[int, OneStoryError]:
    found: dict[int, list[Issue]] = {}
    for issue in issues:
        match = _RESOURCE.match(issue.expression)
        assert match is not None
        found.setdefault(int(match[1]), []).append(issue)
    return {index: Unprocessable(those[0].diagnostics, issues=those) for index, those in found.items()}


def all_of(errors: Sequence[OneStoryError]) -> OneStoryError:
    """One error that says what all of the first one's family say, each once."""
    first = errors[0]
    alike = (issue for error in errors if type(error) is type(first) for issue in error.issues)
    return type(first)(first.issues[0].diagnostics, issues=list(dict.fromkeys(alike)))
