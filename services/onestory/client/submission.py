"""Builds the publish request for one resource or Bundle, and reads the receipt in the response.

Only the outermost elements are read here. Intake validates the FHIR, once.
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
"""The largest body that intake accepts, after decompression."""

ORGANISATION_TAG = "https://fhir.nhs.uk/Id/ods-organization-code"
SYSTEM_TAG = "https://onestory.nhs.uk/CodeSystem/source-system"
_CLAIMS = "https://onestory.nhs.uk/CodeSystem/"

_RESOURCE_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_NHS_NUMBER = re.compile(rb'nhs-number"\s*,\s*"value"\s*:\s*"(\d{10})"|"Patient/(\d{10})"')


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """One request: `method`, `path` below the base URL, and properties of the content."""

    method: str
    path: str
    resources: int
    """The number of entries of a Bundle, or 1 for another resource."""
    organisation: str
    """The ODS code in `meta.tag`, or empty."""
    system: str
    """The name of the source system in `meta.tag`, or empty."""
    person: str
    """The first NHS number in the content, or empty. It only orders a person's items. Never show or store it."""


class _Outline(msgspec.Struct, rename="camel"):
    """The outermost elements of a resource, with values of any type: intake reports their faults."""

    resource_type: object = None
    id: object = None
    meta: object = None
    entry: msgspec.Raw = msgspec.Raw(b"[]")


def build_request(content: bytes) -> PublishRequest:
    """Return the request for `content`. Raises `TooLarge`, or `Malformed` with the line and column of the fault."""
    if len(content) > MAX_BYTES:
        raise TooLarge(f"The item is larger than {MAX_BYTES // 1_000_000} MB. Split it.")
    outline = _outline(content)
    kind = outline.resource_type
    if not isinstance(kind, str) or not _RESOURCE_TYPE.fullmatch(kind):
        raise Malformed("The item is not a FHIR resource: resourceType is missing or not a type name.", code="required")
    organisation, system = source_tags(outline.meta)
    bundle = kind == "Bundle"
    if kind == "ServiceRequest" and not outline.id:
        # As a single resource it would send a referral, but files hold statements about the past.
        raise Malformed(
            "A ServiceRequest without an id must be in a Bundle: as a single resource it would send a referral.",
            code="business-rule",
        )
    local_id = outline.id if isinstance(outline.id, str) and outline.id else None
    path = "/fhir" if bundle else f"/fhir/{kind}" + (f"/{quote(local_id, safe='')}" if local_id else "")
    return PublishRequest(
        method="PUT" if local_id and not bundle else "POST",
        path=path,
        resources=_entry_count(outline.entry) if bundle else 1,
        organisation=organisation,
        system=system,
        person=_first_nhs_number(content),
    )


def content_key(organisation: str, system: str, content: bytes) -> str:
    """Return an idempotency key that is the same for the same bytes from the same source."""
    digest = hashlib.sha256()
    for part in (organisation.encode(), system.encode(), content):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()[:32]


def _outline(content: bytes) -> _Outline:
    try:
        return msgspec.json.decode(content, type=_Outline)
    except msgspec.ValidationError as error:
        raise Malformed("The item is not a FHIR resource: it is not a JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The item is not JSON{_position_of_fault(content)}.") from error


def _position_of_fault(content: bytes) -> str:
    """Return line and column of the fault, without the parser's message, which could quote the resource."""
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return f": line {error.lineno}, column {error.colno}"
    return ""


def source_tags(meta: object) -> tuple[str, str]:
    """Return the ODS code and the name of the system in the tags of a resource's meta. Either may be empty."""
    tags = _tags(meta)
    return tags.get(ORGANISATION_TAG, ""), tags.get(SYSTEM_TAG, "")


def has_claims(meta: object) -> bool:
    """Return whether tags claim more than the source, such as a sequence. They hold for this one item alone."""
    return any(system.startswith(_CLAIMS) and system != SYSTEM_TAG for system in _tags(meta))


def _tags(meta: object) -> dict[str, str]:
    tags = meta.get("tag") if isinstance(meta, dict) else None
    found = {}
    for tag in tags if isinstance(tags, list) else []:
        if isinstance(tag, dict) and isinstance(tag.get("system"), str) and isinstance(tag.get("code"), str):
            found[tag["system"]] = tag["code"]
    return found


def _entry_count(entries: msgspec.Raw) -> int:
    try:
        return len(msgspec.json.decode(entries, type=list[msgspec.Raw]))
    except msgspec.DecodeError:
        return 0


def _first_nhs_number(content: bytes) -> str:
    match = _NHS_NUMBER.search(content)
    return (match[1] or match[2]).decode() if match else ""


EVENT_ID_HEADER = "X-OneStory-Event-Id"
POSITION_HEADER = "X-OneStory-Position"

_TEN_DIGITS = re.compile(r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b")
_MAX_REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why an item or an entry was refused. It holds no value from a resource."""

    reason: str
    status: int
    """The HTTP status of the item or entry. A refusal by this client has the status that intake would give."""
    field: str = ""
    """The FHIRPath of the field, or empty."""
    entry: int | None = None
    """The index in Bundle.entry of the refused entry, or None when the whole item was refused."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The response of intake to one item."""

    status: int
    event_ids: tuple[str, ...] = ()
    position: str = ""
    """The position token: a read with `?after=` waits until it sees the statement."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def accepted(self) -> bool:
        """Return whether at least a part of the item was accepted: all of it, or some entries of a batch."""
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
    """Return the receipt in a final response, which is not one to retry.

    Raises `Misconfigured` for a response that does not come from OneStory: such an item must not count as published.
    """
    body = _body(response)
    # 413 often comes from a gateway in front of OneStory, which sends no FHIR.
    if body is None and EVENT_ID_HEADER not in response.headers and response.status_code != 413:
        raise Misconfigured(
            f"{_base_url(response)} answered {response.status_code} without FHIR. Is it OneStory's base URL?"
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


def _base_url(response: httpx.Response) -> str:
    return str(response.request.url.copy_with(raw_path=b"/"))


def _refused_entries(entries: Iterable[_ResponseEntry]) -> Iterable[Refusal]:
    for index, entry in enumerate(entries):
        code = entry.response.status[:3]
        if code.isdigit() and int(code) >= 400:
            issues = entry.response.outcome.issue if entry.response.outcome else []
            yield from _refusals(issues, int(code), index)


def _refusals(issues: Iterable[_Issue], status: int, entry: int | None = None) -> Iterable[Refusal]:
    faults = [issue for issue in issues if issue.severity in ("error", "fatal")]
    for issue in faults or [_Issue(diagnostics="The server gave no reason.")]:
        reason = _without_numbers(issue.diagnostics or issue.details.text or "The server gave no reason.")
        yield Refusal(reason, status, _without_numbers(", ".join(issue.expression)), entry)


def _without_numbers(text: str) -> str:
    """Return the text without NHS numbers, cut to a limit. OneStory quotes none, but a gateway in front of it might."""
    return _TEN_DIGITS.sub("[number]", text)[:_MAX_REASON_LENGTH]
