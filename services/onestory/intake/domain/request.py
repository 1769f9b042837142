"""What came through the door, before anything is decided: values only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote
from uuid import UUID

from onestory.shared.errors import Forbidden, OneStoryError, PreconditionFailed, Unprocessable
from onestory.shared.events import BOOKING_SYSTEM, REFERRAL_SYSTEM, DirectoryChanged, RecordChanged, Source
from onestory.shared.fhir.definitions import patient_compartment
from onestory.shared.identity import Keys, PersonIdentifier


@dataclass(frozen=True, slots=True)
class Submission:
    """One request. `resource_type` is empty for `POST /fhir`; `search` is the query string as it was sent.

    `preconditions` are the names of the conditional headers that came with it.
    """

    method: str
    body: bytes = b""
    resource_type: str = ""
    resource_id: str = ""
    search: str = ""
    if_none_exist: str = ""
    preconditions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PublisherClaims:
    """What a publisher may say about its statement, in headers or in tags. None: not said."""

    system: str | None = None
    sequence: str | None = None
    complete_types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """What a deployment is: its keys, its own FHIR base URL (no slash at the end), who must send a sequence."""

    keys: Keys
    base_url: str
    sequenced_sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reception:
    """The circumstances of one submission. `submission_id` is new for each; `idempotency_key` is empty without one.

    `role` is the caller's, as the token gives it.
    """

    door: Door
    source: Source
    received_at: datetime
    submission_id: UUID
    correlation_id: str
    idempotency_key: str = ""
    sequence: int | None = None
    complete_types: tuple[str, ...] = ()
    role: str = ""

    def instance_id(self, index: int) -> str:
        """The local id of the entry at this place when nothing else names it: the same on a keyed repetition."""
        return f"{self.idempotency_key or self.submission_id}/{index}"


@dataclass(frozen=True, slots=True)
class KnownResource:
    """What an id in our own form stands for, as the record knows it.

    `joined` are keys of the identities that are the same person, where they were asked for.
    """

    person: PersonIdentifier
    source: Source
    resource_type: str
    local_id: str
    joined: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AcceptedEntry:
    """An entry that went into an event. `content` is None for a retraction."""

    method: str
    resource_type: str
    shared_id: str
    event_id: UUID
    content: bytes | None


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry of a batch that did not."""

    error: OneStoryError


@dataclass(frozen=True, slots=True)
class PreparedSubmission:
    """What to publish, and what became of each entry, in the order in which they came.

    `bundle_type` is empty when the submission was one resource.
    """

    bundle_type: str
    events: tuple[RecordChanged | DirectoryChanged, ...]
    outcomes: tuple[AcceptedEntry | RefusedEntry, ...] = field(default=())


# The circumstances of a submission: who says it, in what sequence, as the whole of what.

_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_SEQUENCE = re.compile(r"[0-9]{1,19}")
_MOST = 2**63


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What is known of a submission before it is read: the verified organisation and its system by the token."""

    door: Door
    organisation: str
    system: str
    received_at: datetime
    submission_id: UUID
    correlation_id: str
    idempotency_key: str = ""
    role: str = ""


def receive(arrival: RequestContext, header: PublisherClaims, tag: PublisherClaims) -> Reception:
    """What was said in a header goes before what was said in a tag. Raises `Unprocessable`, or `Forbidden` for the name
    of a system of ours.
    """
    source = Source(arrival.organisation, _system(header.system or tag.system or arrival.system))
    return Reception(
        door=arrival.door,
        source=source,
        received_at=arrival.received_at,
        submission_id=arrival.submission_id,
        correlation_id=arrival.correlation_id,
        idempotency_key=arrival.idempotency_key,
        sequence=_sequence(header.sequence or tag.sequence, source, arrival.door),
        complete_types=_complete_types(header.complete_types or tag.complete_types or ()),
        role=arrival.role,
    )


def _system(name: str) -> str:
    if not _SYSTEM.fullmatch(name):
        says = "The name of a system has 1 to 64 characters of A-Z a-z 0-9 . _ : - (X-Source-System, or its tag)."
        raise Unprocessable(says, code="value")
    if name.lower() in (REFERRAL_SYSTEM, BOOKING_SYSTEM):
        raise Forbidden("What is referred or booked here is said by a system of this name: give yours another one.")
    return name


def _sequence(said: str | None, source: Source, door: Door) -> int | None:
    declared = f"{source.organisation}/{source.system}" in door.sequenced_sources
    if not declared and said is not None:
        says = "This source has not declared that it always sends a sequence: leave X-Sequence out."
        raise Unprocessable(says, code="business-rule")
    if declared and not (said is not None and _SEQUENCE.fullmatch(said) and int(said) < _MOST):
        says = "This source has declared that it always sends a sequence: send X-Sequence, a whole number from 0."
        raise Unprocessable(says, code="required")
    return int(said) if said is not None else None


def _complete_types(types: tuple[str, ...]) -> tuple[str, ...]:
    if any(kind not in patient_compartment() for kind in types):
        says = "X-Complete-Types names what is not in the Patient compartment: send resource types such as Condition."
        raise Unprocessable(says, code="value")
    return tuple(sorted(set(types)))


# What an address asks for: the URL of a request, in HTTP or in an entry (http://hl7.org/fhir/R4/http.html).

# What an Identifier can hold: its system is a uri, its value a string (http://hl7.org/fhir/R4/datatypes.html).
_URI = re.compile(r"[^\s\x00-\x1f]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class RequestUrl:
    """`Condition/c1?patient=...` taken apart. `search` is still encoded."""

    resource_type: str
    resource_id: str
    search: str


def parse_address(url: str, base_url: str, path: str) -> RequestUrl:
    """The parts of a relative URL, or of one below our own base. Raises `Unprocessable` for any other."""
    relative, _, search = url.removeprefix(base_url).removeprefix("/").partition("?")
    kind, _, rest = relative.partition("/")
    if "$" in relative:
        raise Unprocessable("Operations are not taken here: send the resources.", code="not-supported", expression=path)
    if "/" in rest or not kind or ":" in kind:
        raise Unprocessable("Send the address as Type or Type/id.", code="value", expression=path)
    return RequestUrl(kind, rest, search)


def identifier_in(search: str, path: str) -> str:
    """The `system|value` of `identifier=system|value`: the one condition that can name a resource for good.

    Raises `PreconditionFailed` for any other search: its answer could change before the statement is read.
    """
    name, _, value = search.partition("=")
    system, bar, code = unquote(value).partition("|")
    sayable = _URI.fullmatch(system) and code.strip() and not _CONTROL.search(code)
    if name != "identifier" or "&" in search or not bar or not sayable or "," in code:
        raise PreconditionFailed(
            "Only identifier=system|value can be kept as a condition, for it names the resource: send that, or an id.",
            expression=path,
        )
    return f"{system}|{code}"


def person_in(search: str, path: str) -> str:
    """What `?patient=` says, without `Patient/`; empty when there is no query. Raises `PreconditionFailed` for more."""
    if not search:
        return ""
    name, _, value = search.partition("=")
    if name != "patient" or "&" in search or not value:
        raise PreconditionFailed(
            "What to delete cannot be searched for: send Type/id, with ?patient=<NHS number> for an id of your own.",
            expression=path,
        )
    return unquote(value).removeprefix("Patient/")


def refuse_preconditions(names: list[str], path: str = "") -> None:
    """Raise `PreconditionFailed` if there are any."""
    if names:
        raise PreconditionFailed(
            f"{', '.join(names)} cannot be kept: statements are only ever added, and which one stands is decided by "
            "when its source recorded it. Leave it out.",
            expression=path,
        )
