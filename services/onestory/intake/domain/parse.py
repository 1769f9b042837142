"""Splits a submission into items: one resource, or the entries of a Bundle.

This is the first pure step of a publish: `intake/publish.py` comes before it, and `prepare.py` after it.

Specification: http://hl7.org/fhir/R4/http.html for create, update and delete, its section #transaction for
Bundle.entry.request.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from onestory.intake.domain.batch_read import read_entry
from onestory.intake.domain.bundle import (
    EMPTY_META,
    Bundle,
    Meta,
    bundle_name,
    claims_in_tags,
    read_bundle,
    read_meta,
    refuse_invalid_bundle,
    refuse_referral_message,
    resource_type_of,
)
from onestory.intake.domain.conditions import create_condition, submission_precondition
from onestory.intake.domain.entry import item_of_entry, items_of_refused_entry
from onestory.intake.domain.item import (
    Item,
    members_of,
    refuse_invalid_id,
    refuse_unsupported_type,
    string_member,
)
from onestory.intake.domain.judgement import ids_in_judgement
from onestory.intake.domain.person_elements import ids_in_security_context
from onestory.intake.domain.request import (
    PublisherClaims,
    ReadEntry,
    Submission,
    identifier_condition,
    patient_parameter,
    refuse_operation_only_type,
)
from onestory.shared.errors import Issue, Malformed, NotFound, OneStoryError, Unprocessable
from onestory.shared.fhir.definitions import resource_types
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import parse_shared_id

_ENTRY_PATH = re.compile(r"Bundle\.entry\[(\d+)\]\.resource\b")
_PATIENT_REFERENCE = re.compile(rb"Patient/([a-z2-7]{26}-[a-z2-7]{26})")


@dataclass(frozen=True, slots=True)
class ParsedSubmission:
    """The items that could be read, and the errors of refused entries, by their index in Bundle.entry.

    An entry of a batch can have both an item and an error, or it is one of the `reads`. `bundle_type` is empty for one
    resource. `meta` and `timestamp` are those of the Bundle. `size` is the number of its entries. `name` names the
    Bundle for good, or is empty.
    """

    bundle_type: str
    size: int
    items: Sequence[Item]
    errors: Mapping[int, OneStoryError] = field(default_factory=dict)
    reads: Mapping[int, ReadEntry] = field(default_factory=dict)
    meta: Meta = EMPTY_META
    timestamp: str | None = None
    body: bytes = b""
    name: str = ""

    @property
    def is_batch(self) -> bool:
        """Return whether entries can be refused one by one."""
        return self.bundle_type == "batch"

    def claims(self) -> PublisherClaims:
        """Return the claims in the tags of the Bundle, or of the one resource."""
        if self.bundle_type or not self.items:
            return replace(claims_in_tags(self.meta), name_of_copies=self._name_of_copies())
        return claims_in_tags(read_meta(self.items[0].members.get("meta")))

    def _name_of_copies(self) -> str:
        """Return what a copy of this Bundle has too, and no later statement; an empty string when nothing is that.

        It is the name with the time of recording. Without a time, the same content may be a new statement: "warfarin",
        "none", and "warfarin" again. The same is so for entries with ids, because other requests change them too.
        """
        time = self.timestamp or self.meta.last_updated
        has_ids = any(item.resource_id for item in self.items)
        return f"{self.name}\0{time}" if self.name and time and not has_ids else ""

    def shared_ids(self) -> set[str]:
        """Return the shared ids that the decision must look up: of items, of their persons, and in judgements.

        Those in Binary.securityContext are among them, because they name the person of the Binary.
        """
        ids = {name for item in self.items for name in (item.resource_id, item.person) if parse_shared_id(name)}
        ids |= {name for item in self.items for name in ids_in_security_context(item)}
        return ids | self.judged_ids() | {match.decode() for match in _PATIENT_REFERENCE.findall(self.body)}

    def judged_ids(self) -> set[str]:
        """Return the shared ids in judgements. For these, all identities of the person are needed too."""
        return {shared_id for item in self.items for shared_id in ids_in_judgement(item)}


def parse_submission(submission: Submission, base_url: str) -> ParsedSubmission:
    """Return the items of a submission.

    Raises `Malformed`, `Unprocessable`, `NotFound` or `NotAllowed`. For a batch it raises only
    for faults of the whole Bundle; a fault of one entry goes into `errors`.
    """
    refuse_operation_only_type(submission)
    precondition = submission_precondition(submission)
    body = submission.body.removeprefix(codecs.BOM_UTF8)
    if not submission.resource_type:
        return _parse_bundle(body, base_url)
    item = _parse_resource(replace(submission, body=body), base_url)
    return ParsedSubmission("", 1, [replace(item, precondition=precondition) if precondition else item], body=body)


def _parse_bundle(body: bytes, base_url: str) -> ParsedSubmission:
    issues = validate(body)
    if issues and not all(_ENTRY_PATH.match(issue.expression) for issue in issues):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    _refuse_other_resource(body)
    bundle = read_bundle(body)
    if issues and bundle.type != "batch":
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    refuse_invalid_bundle(bundle)
    refuse_referral_message(bundle)
    items, reads, errors = _items(bundle, base_url)
    return ParsedSubmission(
        bundle_type=bundle.type,
        size=len(bundle.entry),
        items=items,
        errors={**errors, **_errors_by_entry(issues)},
        reads=reads,
        meta=bundle.meta,
        timestamp=bundle.timestamp,
        body=body,
        name=bundle_name(bundle),
    )


def _refuse_other_resource(body: bytes) -> None:
    kind = resource_type_of(body)
    if kind != "Bundle":
        text = f"Only a Bundle can be sent to /fhir. Send this resource to /fhir/{kind}."
        raise Malformed(text, code="value", expression="Resource")


def _items(bundle: Bundle, base_url: str) -> tuple[list[Item], dict[int, ReadEntry], dict[int, OneStoryError]]:
    items: list[Item] = []
    reads: dict[int, ReadEntry] = {}
    errors: dict[int, OneStoryError] = {}
    for index, entry in enumerate(bundle.entry):
        try:
            if bundle.type == "batch" and entry.request and entry.request.method == "GET":
                reads[index] = read_entry(entry.request, len(reads), base_url, f"Bundle.entry[{index}]")
            else:
                items.append(item_of_entry(index, entry, base_url))
        except OneStoryError as error:
            errors[index] = error
            items += items_of_refused_entry(index, entry, base_url)
    if errors and bundle.type != "batch":
        raise combined_error(list(errors.values()))
    if name := bundle_name(bundle):
        items = _named(items, name)
    return items, reads, errors


def _named(items: Sequence[Item], name: str) -> list[Item]:
    """Return the items, each with a name in the Bundle of this name: its fullUrl, else a digest of its content.

    An index would be another entry's after one more is put in front.
    """
    contents = Counter[str]()
    named = []
    for item in items:
        place = item.full_url
        if not place:
            place = hashlib.sha256(item.raw).hexdigest()[:32]
            contents[place] += 1
            place = f"{place}/{contents[place]}"
        named.append(replace(item, name_in_bundle=f"{name}/{place}"))
    return named


def _errors_by_entry(issues: Sequence[Issue]) -> dict[int, OneStoryError]:
    by_entry: dict[int, list[Issue]] = {}
    for issue in issues:
        match = _ENTRY_PATH.match(issue.expression)
        assert match is not None
        by_entry.setdefault(int(match[1]), []).append(issue)
    return {index: Unprocessable(group[0].diagnostics, issues=group) for index, group in by_entry.items()}


def combined_error(errors: Sequence[OneStoryError]) -> OneStoryError:
    """Return one error with the issues of all errors of the first one's family, each issue once."""
    first = errors[0]
    issues = (issue for error in errors if type(error) is type(first) for issue in error.issues)
    return type(first)(first.issues[0].diagnostics, issues=list(dict.fromkeys(issues)))


def _parse_resource(submission: Submission, base_url: str) -> Item:
    """Return the item of a submission that is one resource. Raises `Malformed`, `NotFound` or `Unprocessable`."""
    if submission.resource_type not in resource_types():
        raise NotFound(
            "The URL does not name a FHIR R4 resource type. Send to /fhir/<type>, or send a Bundle to /fhir."
        )
    refuse_unsupported_type(submission.resource_type, submission.resource_type)
    if submission.resource_id:
        refuse_invalid_id(submission.resource_id, f"{submission.resource_type}.id")
    return _retraction(submission) if submission.method == "DELETE" else _assertion(submission, base_url)


def _retraction(submission: Submission) -> Item:
    person = patient_parameter(submission.search, "")
    if not submission.resource_id:
        raise Unprocessable("The URL must name the resource to delete. Send DELETE /fhir/<type>/<id>.", code="required")
    kind = submission.resource_type
    return Item(0, "DELETE", kind, path=kind, resource_id=submission.resource_id, person=person)


def _assertion(submission: Submission, base_url: str) -> Item:
    if issues := validate(submission.body):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    members, kind = members_of(submission.body), submission.resource_type
    if string_member(members, "resourceType") != kind:
        raise Malformed("The type in the URL differs from resourceType. Send the same type.", expression="Resource")
    return Item(
        index=0,
        method=submission.method,
        resource_type=kind,
        path=kind,
        resource_id=_resource_id(submission, string_member(members, "id")),
        identifier=_identifier(submission, base_url),
        members=members,
        raw=msgspec.Raw(submission.body),
    )


def _identifier(submission: Submission, base_url: str) -> str:
    if submission.method == "PUT" and not submission.resource_id:
        return identifier_condition(submission.search, "")
    if submission.search:
        raise Unprocessable("This URL must not have search parameters. Leave them out.", code="not-supported")
    if submission.if_none_exist is not None:
        return create_condition(submission.if_none_exist, submission.resource_type, base_url, "")
    return ""


def _resource_id(submission: Submission, id_in_body: str) -> str:
    path = f"{submission.resource_type}.id"
    if submission.method == "PUT" and submission.resource_id and id_in_body != submission.resource_id:
        raise Malformed("The id in the resource must be the one in the URL.", code="value", expression=path)
    if id_in_body:
        refuse_invalid_id(id_in_body, path)
    return id_in_body
