"""What one piece of FHIR JSON asks of the door: the request that carries it, and whom it speaks for.

Only the outermost fields are read; whether it is good FHIR is decided at the door, once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import msgspec
import orjson

from onestory.shared.errors import Malformed, Misconfigured, TooLarge

MAX_BYTES = 10_000_000
"""The largest body that the door takes, after decompression."""

ORGANISATION_TAG = "https://fhir.nhs.uk/Id/ods-organization-code"
SYSTEM_TAG = "https://onestory.nhs.uk/CodeSystem/source-system"

_RESOURCE_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_PERSON = re.compile(rb'nhs-number"\s*,\s*"value"\s*:\s*"(\d{10})"|"Patient/(\d{10})"')


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """One request: `method` and `path` (below the base URL), and what the content says of itself."""

    method: str
    path: str
    resources: int
    """Entries of a Bundle; 1 for another resource."""
    organisation: str
    """ODS code in `meta.tag`, or empty."""
    system: str
    """Name of the source system in `meta.tag`, or empty."""
    person: str
    """The first NHS number found, or empty. Only for keeping one person's items in order: never shown or stored."""


class _Outline(msgspec.Struct, rename="camel"):
    """A resource's outermost fields, of any type: what is wrong with them is for the door to say."""

    resource_type: object = None
    id: object = None
    meta: object = None
    entry: msgspec.Raw = msgspec.Raw(b"[]")


def read_request(content: bytes) -> PublishRequest:
    """The request for `content`. Raises `TooLarge`, or `Malformed` with line and column, when it cannot be one."""
    if len(content) > MAX_BYTES:
        raise TooLarge(f"The item is larger than {MAX_BYTES // 1_000_000} MB: split it.")
    outline = _outline(content)
    kind = outline.resource_type
    if not isinstance(kind, str) or not _RESOURCE_TYPE.fullmatch(kind):
        raise Malformed("The item is no FHIR resource: resourceType is missing or not a name.", code="required")
    tags = _tags(outline.meta)
    bundle = kind == "Bundle"
    if kind == "ServiceRequest" and not outline.id:
        # By itself it would be sent as a referral, and a file is kept of what was.
        raise Malformed(
            "A ServiceRequest is published in a Bundle: posted by itself it is a referral.", code="business-rule"
        )
    local_id = outline.id if isinstance(outline.id, str) and outline.id else None
    path = "/fhir" if bundle else f"/fhir/{kind}" + (f"/{quote(local_id, safe='')}" if local_id else "")
    return PublishRequest(
        method="PUT" if local_id and not bundle else "POST",
        path=path,
        resources=_length(outline.entry) if bundle else 1,
        organisation=tags.get(ORGANISATION_TAG, ""),
        system=tags.get(SYSTEM_TAG, ""),
        person=_person(content),
    )


def content_key(organisation: str, system: str, content: bytes) -> str:
    """An idempotency key that is the same whenever the same source says the same bytes."""
    digest = hashlib.sha256()
    for part in (organisation.encode(), system.encode(), content):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()[:32]


def _outline(content: bytes) -> _Outline:
    try:
        return msgspec.json.decode(content, type=_Outline)
    except msgspec.ValidationError as error:
        raise Malformed("The item is no FHIR resource: it is not a JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The item is not JSON{_whereabouts(content)}.") from error


def _whereabouts(content: bytes) -> str:
    """Line and column of the fault. Its own words are left out: they could quote the resource."""
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return f": line {error.lineno}, column {error.colno}"
    return ""


def _tags(meta: object) -> dict[str, str]:
    tags = meta.get("tag") if isinstance(meta, dict) else None
    found = {}
    for tag in tags if isinstance(tags, list) else []:
        if isinstance(tag, dict) and isinstance(tag.get("system"), str) and isinstance(tag.get("code"), str):
            found[tag["system"]] = tag["code"]
    return found


def _length(entries: msgspec.Raw) -> int:
    try:
        return len(msgspec.json.decode(entries, type=list[msgspec.Raw]))
    except msgspec.DecodeError:
        return 0


def _person(content: bytes) -> str:
    match = _PERSON.search(content)
    return (match[1] or match[2]).decode() if match else ""


# The door's answer, read: what was taken, and what was refused and why.

EVENT_ID_HEADER = "X-OneStory-Event-Id"
POSITION_HEADER = "X-OneStory-Position"

_NUMBER = re.compile(r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b")
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for which something was not taken. Holds no value from a resource."""

    reason: str
    status: int
    """HTTP status of the item or entry; one that we refused ourselves gets the status that the door would give."""
    field: str = ""
    """FHIRPath of the field, where one is to blame."""
    entry: int | None = None
    """Index in Bundle.entry when this entry was refused; None when the whole item was."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the door said of one item."""

    status: int
    event_ids: tuple[str, ...] = ()
    position: str = ""
    """Token for `?after=`, to read what was just published."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def taken(self) -> bool:
        """Whether something of the item was taken: all of it, or some entries of a batch."""
        return self.status < 400


class _Text(msgspec.Struct):
    text: str = ""


class _Issue(msgspec.Struct):
    severity: str = "error"
    diagnostics: str = ""
    details: _Text = msgspec.field(default_factory=_Text)
    expression: list[str] = []


class _Outcome(msgspec.Struct):
    issue: list[_Issue] = []


class _Response(msgspec.Struct):
    status: str = ""
    outcome: _Outcome | None = None


class _ResponseEntry(msgspec.Struct):
    response: _Response = msgspec.field(default_factory=_Response)


class _Body(msgspec.Struct, rename="camel"):
    """An OperationOutcome or a response Bundle."""

    resource_type: str = ""
    issue: list[_Issue] = []
    entry: list[_ResponseEntry] = []


def read_receipt(response: httpx.Response) -> Receipt:
    """The receipt in a final answer (not one to be retried).

    Raises `Misconfigured` when it cannot have come from a OneStory door: nothing is taken for published on trust.
    """
    body = _body(response)
    # 413 often comes from a gateway in front of the door, which speaks no FHIR.
    if body is None and EVENT_ID_HEADER not in response.headers and response.status_code != 413:
        raise Misconfigured(
            f"{_place(response)} answered {response.status_code} and no FHIR: is it OneStory's base URL?"
        )
    if response.status_code >= 400:
        issues = body.issue if body else []
        return Receipt(response.status_code, refusals=tuple(_refusals(issues, response.status_code)))
    ids = response.headers.get(EVENT_ID_HEADER, "")
    return Receipt(
        status=response.status_code,
        event_ids=tuple(part.strip() for part in ids.split(",") if part.strip()),
        position=response.headers.get(POSITION_HEADER, ""),
        refusals=tuple(_refused_entries(body.entry if body else [])),
    )


def _body(response: httpx.Response) -> _Body | None:
    try:
        body = msgspec.json.decode(response.content, type=_Body)
    except msgspec.DecodeError:
        return None
    return body if body.resource_type else None


def _place(response: httpx.Response) -> str:
    return str(response.request.url.copy_with(raw_path=b"/"))


def _refused_entries(entries: Iterable[_ResponseEntry]) -> Iterable[Refusal]:
    for index, entry in enumerate(entries):
        code = entry.response.status[:3]
        if code.isdigit() and int(code) >= 400:
            issues = entry.response.outcome.issue if entry.response.outcome else []
            yield from _refusals(issues, int(code), index)


def _refusals(issues: Iterable[_Issue], status: int, entry: int | None = None) -> Iterable[Refusal]:
    to_blame = [issue for issue in issues if issue.severity in ("error", "fatal")]
    for issue in to_blame or [_Issue(diagnostics="The door gave no reason.")]:
        reason = _without_numbers(issue.diagnostics or issue.details.text or "The door gave no reason.")
        yield Refusal(reason, status, _without_numbers(", ".join(issue.expression)), entry)


def _without_numbers(text: str) -> str:
    """OneStory quotes no NHS number, but a gateway before it might."""
    return _NUMBER.sub("[number]", text)[:_LONGEST_REASON]
