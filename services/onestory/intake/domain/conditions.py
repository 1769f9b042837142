"""Conditions of writes: conditional create by identifier, If-Match, and If-None-Match: * (pure).

http://hl7.org/fhir/R4/http.html#ccreate and #concurrency, RFC 9110 section 13. A condition that OneStory cannot check
is refused with 400, and never ignored. 412 always means that a condition was checked and does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from onestory.intake.domain.bundle import EntryRequest, Identifier
from onestory.intake.domain.request import Submission, identifier_condition
from onestory.shared.errors import Malformed, OneStoryError, PreconditionFailed
from onestory.shared.fhir.bundle import entity_tags, etag
from onestory.shared.identity import PersonIdentifier, is_former_use, is_nhs_number_system

IF_MATCH, IF_NONE_MATCH, IF_NONE_EXIST = "If-Match", "If-None-Match", "If-None-Exist"
PRECONDITIONS = (IF_MATCH, IF_NONE_MATCH, "If-Modified-Since", "If-Unmodified-Since")
"""Headers with a condition on the current version of a resource."""
_ELEMENTS = {
    IF_MATCH: "ifMatch",
    IF_NONE_MATCH: "ifNoneMatch",
    IF_NONE_EXIST: "ifNoneExist",
    "If-Modified-Since": "ifModifiedSince",
}
_INSTEAD = {
    IF_MATCH: "Send it with PUT or DELETE only, as the ETag of your resource.",
    IF_NONE_MATCH: "Send only If-None-Match: *, with PUT: it creates the resource if you have none with this id.",
    IF_NONE_EXIST: "Send it only with a POST of one resource, or in an entry with POST.",
}
# Characters that writers of JSON escape, of their own accord or because they must.
_ESCAPABLE = re.compile(r"""[^ -~]|[/"\\<>&'+]""")
_COMPARE_VERSIONS = "Send If-Match with the ETag of your resource instead."


@dataclass(frozen=True, slots=True)
class Precondition:
    """A condition on the current version of one resource. `path` is its place: a FHIRPath, or empty for a header.

    `versions` are the versions of which one must be current (If-Match). `exists`: any version must be (If-Match: *).
    With neither, no version may be current (If-None-Match: *).
    """

    path: str
    versions: tuple[str, ...] = ()
    exists: bool = False

    @property
    def must_be_absent(self) -> bool:
        """Return whether the resource must not exist."""
        return not self.versions and not self.exists


@dataclass(frozen=True, slots=True)
class ConditionalItem:
    """An item whose identifier, `system|value`, is a condition. `path` is its place.

    `is_create`: the item changes nothing if its source has the resource already (If-None-Exist).
    """

    index: int
    resource_type: str
    identifier: str
    path: str
    is_create: bool


@dataclass(frozen=True, slots=True)
class MatchedResource:
    """The source's own current resource that a condition found. `person` is None in the directory.

    `is_same_person` says that the record joins `person` with the person of the condition.
    """

    resource_type: str
    local_id: str
    shared_id: str
    event_id: UUID
    content: bytes
    received_at: datetime
    person: PersonIdentifier | None
    is_same_person: bool = False


@dataclass(frozen=True, slots=True)
class DecidedConditions:
    """The results of the conditions of one submission, by the index of the entry."""

    matches: Mapping[int, MatchedResource] = field(default_factory=dict)
    errors: Mapping[int, OneStoryError] = field(default_factory=dict)


NO_CONDITIONS = DecidedConditions()


class _WithIdentifier(msgspec.Struct, gc=False):
    identifier: list[Identifier] | Identifier | None = None


_IDENTIFIED = msgspec.json.Decoder(_WithIdentifier)


def submission_precondition(submission: Submission) -> Precondition | None:
    """Return the precondition in the headers of a request, or None.

    Raises `Malformed` for one that cannot be checked. If-None-Exist is read with the resource.
    """
    conditions = dict(submission.preconditions)
    if submission.if_none_exist is not None:
        conditions[IF_NONE_EXIST] = submission.if_none_exist
    # A Bundle has conditions in its entries only.
    method = submission.method if submission.resource_type else ""
    return _precondition(method, conditions, {})


def entry_precondition(request: EntryRequest, path: str) -> Precondition | None:
    """Return the precondition of an entry, or None. `path` is that of entry.request. Raises `Malformed`."""
    conditions = {
        IF_MATCH: request.if_match,
        IF_NONE_MATCH: request.if_none_match,
        "If-Modified-Since": request.if_modified_since,
        IF_NONE_EXIST: request.if_none_exist,
    }
    paths = {name: f"{path}.{element}" for name, element in _ELEMENTS.items()}
    return _precondition(request.method, {name: text for name, text in conditions.items() if text is not None}, paths)


def _precondition(method: str, conditions: Mapping[str, str], paths: Mapping[str, str]) -> Precondition | None:
    """Return the precondition among these conditions, by the name of the header. An entry has `paths`."""
    if not conditions:
        return None
    allowed = {"POST": {IF_NONE_EXIST}, "PUT": {IF_MATCH, IF_NONE_MATCH}, "DELETE": {IF_MATCH}}.get(method, set())
    for name, value in conditions.items():
        if name not in allowed or (name == IF_NONE_MATCH and value.strip() != "*"):
            raise _unsupported(f"{name} cannot be checked here. {_INSTEAD.get(name, _COMPARE_VERSIONS)}", paths, name)
    if len(conditions) > 1:
        raise _unsupported("If-Match and If-None-Match contradict each other. Send one of them.", paths, IF_NONE_MATCH)
    ((name, value),) = conditions.items()
    if name == IF_NONE_EXIST:
        return None
    path = paths.get(name, "")
    if name == IF_NONE_MATCH:
        return Precondition(path)
    if value.strip() == "*":
        return Precondition(path, exists=True)
    tags = entity_tags(value)
    versions = tuple(tag for tag in tags if tag)
    if len(versions) < len(tags):
        raise _unsupported('If-Match must be an ETag such as W/"<versionId>", or *. Correct it.', paths, name)
    return Precondition(path, versions)


def _unsupported(text: str, paths: Mapping[str, str], name: str) -> Malformed:
    return Malformed(text, code="not-supported", expression=paths.get(name, ""))


def failed_precondition(
    precondition: Precondition, resource_type: str, current: UUID | None, own: UUID | None
) -> PreconditionFailed | None:
    """Return the error of a precondition that does not hold, or None. Its headers have the current ETag.

    `current` is the version that readers see, or None. `own` is the version that this request makes, if it has an
    Idempotency-Key: when that one is current, the request is the repetition of one that succeeded.
    """
    if current is not None and current == own:
        return None
    if precondition.must_be_absent:
        if current is None:
            return None
        text = "If-None-Match: *: you have a resource with this id. Send If-Match with its ETag to change it."
    elif current is not None and (precondition.exists or str(current) in precondition.versions):
        return None
    elif current is None:
        text = "If-Match: you have no current resource with this id. Leave If-Match out to create it."
        if resource_type == "Patient":
            text += " The ETag of Patient/<NHS number> is that of all sources together, so it never matches here."
    else:
        text = f"If-Match: version {current} of your resource is current. Read it, and send its ETag."
    error = PreconditionFailed(text, expression=precondition.path)
    if current is not None:
        error.headers["ETag"] = etag(current)
    return error


def create_condition(condition: str, resource_type: str, base_url: str, path: str) -> str:
    """Return `system|value` from If-None-Exist. It is a search, such as `identifier=system|value`.

    It may begin with `?`, with `Type?`, or with the URL of this server. Raises `Malformed` for another condition.
    """
    address, mark, search = condition.strip().partition("?")
    if not mark or "=" in address:
        # A question mark after the first `=` is part of the value.
        return identifier_condition(condition.strip(), path)
    if address.removeprefix(f"{base_url}/").removeprefix("/") not in ("", resource_type):
        text = (
            f"If-None-Exist must be a search of {resource_type} on this server. Send identifier=system|value, or "
            f"{resource_type}?identifier=system|value."
        )
        raise Malformed(text, code="not-supported", expression=path)
    return identifier_condition(search, path)


def match_condition(
    identifier: str, candidates: Iterable[MatchedResource], path: str
) -> MatchedResource | PreconditionFailed | None:
    """Return the resource that `system|value` names, None without one, or the error for several.

    `candidates` are resources of the source and type, those of a person first. Two of one local id are one resource.
    An identifier with use `old` or `temp` names no resource: another one may have it now.
    """
    matches: dict[str, MatchedResource] = {}
    for candidate in candidates:
        is_current = _has_identifier(candidate.content, identifier)
        if candidate.local_id == identifier and is_current is False:
            # A new resource would get this local id, and would replace the former holder.
            text = (
                "Your resource that was created with this identifier has it with use old or temp now, so it is not "
                "certain which resource is meant. Send PUT with an id."
            )
            return PreconditionFailed(text, code="multiple-matches", expression=path)
        if candidate.local_id == identifier or is_current:
            matches.setdefault(candidate.local_id, candidate)
    if len(matches) > 1:
        text = (
            "Several of your resources have this identifier. Send PUT with the id of the one that you mean, or retract "
            "the others."
        )
        return PreconditionFailed(text, code="multiple-matches", expression=path)
    return next(iter(matches.values()), None)


def _has_identifier(content: bytes, wanted: str) -> bool | None:
    """Return whether a resource has an identifier now; False when it had it, None when it is not there."""
    try:
        identifiers = _IDENTIFIED.decode(content).identifier
    except msgspec.MsgspecError:
        return None
    system, _, value = wanted.partition("|")
    found = identifiers if isinstance(identifiers, list) else [identifiers] if identifiers else []
    uses = [each.use for each in found if each.value == value and _same_system(each.system, system)]
    return any(not is_former_use(use) for use in uses) if uses else None


def _same_system(one: str | None, other: str) -> bool:
    return one == other or (is_nhs_number_system(one) and is_nhs_number_system(other))


def plain_part(value: str) -> bytes:
    """Return a part of a value that stands in any JSON text with this value.

    JSON may escape a slash, and characters beyond ASCII. The longest part without them is the same in all spellings.
    """
    return max(_ESCAPABLE.split(value), key=len).encode()


def other_person(match: MatchedResource, person: PersonIdentifier | None, path: str) -> PreconditionFailed | None:
    """Return the error of a create whose identifier names a resource about another person, or None.

    A Patient names its person itself, so the record's links do not count for it.
    """
    if person is None or match.person is None or match.person == person:
        return None
    if match.is_same_person and match.resource_type != "Patient":
        return None
    text = (
        "Your resource with this identifier is about another person or identity. Correct the identifier or the person. "
        "To move or update the resource, send PUT with its id."
    )
    return PreconditionFailed(text, expression=path)


def persons_of_patients(matches: Mapping[int, MatchedResource]) -> dict[int, PersonIdentifier]:
    """Return the persons of the Patients that conditions found, by the index of the entry."""
    return {
        index: match.person for index, match in matches.items() if match.person and match.resource_type == "Patient"
    }
