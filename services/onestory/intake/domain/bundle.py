"""A Bundle taken apart, and what FHIR says of each kind of Bundle (http://hl7.org/fhir/R4/bundle.html)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import msgspec

from onestory.intake.domain.request import PublisherClaims
from onestory.shared.errors import Forbidden, Issue, Unprocessable
from onestory.shared.fhir.outcome import MOST_ISSUES
from onestory.shared.identity import is_ods_code_system

# What `meta` says of the source: claims that the token must bear out, and what a publisher may say in tags.

SYSTEM_TAG = "https://onestory.nhs.uk/CodeSystem/source-system"
SEQUENCE_TAG = "https://onestory.nhs.uk/CodeSystem/sequence"
COMPLETE_TYPE_TAG = "https://onestory.nhs.uk/CodeSystem/complete-type"

_OUR_SOURCE = re.compile(r"(?:https://onestory\.nhs\.uk)?/organisations/(?P<organisation>[^/]+)(?:/.*)?")


class Tag(msgspec.Struct, frozen=True):
    """A Coding in meta.tag."""

    system: str | None = None
    code: str | None = None


class Meta(msgspec.Struct, rename="camel", frozen=True):
    """What of a resource's meta decides anything here."""

    last_updated: str | None = None
    source: str | None = None
    tag: tuple[Tag, ...] = ()


_META = msgspec.json.Decoder(Meta)
NOTHING = Meta()


def read_meta(raw: msgspec.Raw | None) -> Meta:
    """The meta of a resource that the validator has accepted."""
    return _META.decode(raw) if raw is not None else NOTHING


def is_organisation_tag(tag: Tag) -> bool:
    """Whether a tag names the organisation that says this."""
    return is_ods_code_system(tag.system)


def refuse_other_source(meta: Meta, organisation: str, path: str) -> None:
    """Raise `Forbidden` where the body claims to come from another organisation than the token says."""
    for index, tag in enumerate(meta.tag):
        if is_organisation_tag(tag) and (tag.code or "").upper() != organisation:
            raise Forbidden("The token is of another organisation than this tag.", expression=f"{path}.tag[{index}]")
    ours = _OUR_SOURCE.fullmatch(meta.source or "")
    if ours and ours["organisation"].upper() != organisation:
        raise Forbidden("The token is of another organisation than this source.", expression=f"{path}.source")


def said_in(meta: Meta) -> PublisherClaims:
    """What the tags say of the statement."""
    return PublisherClaims(
        system=next(_codes(meta, SYSTEM_TAG), None),
        sequence=next(_codes(meta, SEQUENCE_TAG), None),
        complete_types=tuple(_codes(meta, COMPLETE_TYPE_TAG)) or None,
    )


def _codes(meta: Meta, system: str) -> Iterator[str]:
    return (tag.code for tag in meta.tag if tag.system == system and tag.code)


TAKEN = ("transaction", "batch", "collection", "document", "message")
WITH_REQUESTS = ("transaction", "batch")


_BARS_EVENTS = re.compile(r"https?://fhir\.nhs\.uk/codesystem/message-events?-(?:bars|servicerequest)", re.I)

# msgspec knows no optional Raw: this one, by identity, is what is not there.
ABSENT = msgspec.Raw(b"null")


class EntryRequest(msgspec.Struct, rename="camel", gc=False):
    """Bundle.entry.request."""

    method: str
    url: str
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_match: str | None = None
    if_none_exist: str | None = None


class BundleEntry(msgspec.Struct, rename="camel", gc=False):
    """Bundle.entry."""

    full_url: str = ""
    resource: msgspec.Raw = ABSENT
    request: EntryRequest | None = None
    response: msgspec.Raw = ABSENT
    search: msgspec.Raw = ABSENT


class Identifier(msgspec.Struct, gc=False):
    """An Identifier's own two elements."""

    system: str | None = None
    value: str | None = None
    use: str | None = None


class Bundle(msgspec.Struct):
    """A Bundle's own elements. Only for bytes that the validator has accepted."""

    type: str
    meta: Meta = NOTHING
    identifier: Identifier | None = None
    timestamp: str | None = None
    total: int | None = None
    entry: list[BundleEntry] = []


_BUNDLE = msgspec.json.Decoder(Bundle)


class _Kind(msgspec.Struct, rename="camel"):
    resource_type: str


def read_bundle(body: bytes) -> Bundle:
    """The Bundle in bytes that the validator has accepted, its resources aside.

    Raises `Unprocessable` for a kind that we do not take.
    """
    bundle = _BUNDLE.decode(body)
    if bundle.type not in TAKEN:
        raise Unprocessable(
            f"Only {', '.join(TAKEN)} are taken: send what you found or kept as a collection or a transaction.",
            code="not-supported",
            expression="Bundle.type",
        )
    return bundle


def refuse_broken(bundle: Bundle) -> None:
    """Raise `Unprocessable` for a Bundle that breaks the rules of its kind."""
    broken = itertools.chain(_envelope(bundle), _first(bundle), _full_urls(bundle.entry), _entries(bundle))
    if issues := list(itertools.islice(broken, MOST_ISSUES + 1)):
        raise Unprocessable(issues[0].diagnostics, issues=issues)


class _EventCoding(msgspec.Struct, gc=False):
    system: str | None = None


class _Header(msgspec.Struct, rename="camel", gc=False):
    event_coding: _EventCoding | None = None


def refuse_referral_message(bundle: Bundle) -> None:
    """Raise `Unprocessable` for a BaRS message: as a mere statement it would reach nobody."""
    if bundle.type != "message" or _first(bundle):
        return
    coding = msgspec.json.decode(bundle.entry[0].resource, type=_Header).event_coding
    if coding and _BARS_EVENTS.fullmatch(coding.system or ""):
        raise Unprocessable(
            "This is a message of the Booking and Referral Standard: POST it to /$process-message, where somebody gets "
            "to see it.",
            code="not-supported",
            expression="Bundle.entry[0].resource.eventCoding",
        )


def _envelope(bundle: Bundle) -> list[Issue]:
    issues = []
    if not bundle.entry:
        issues.append(Issue("required", "There is nothing in the Bundle: send at least one entry.", "Bundle.entry"))
    if bundle.total is not None:
        issues.append(Issue("invariant", "A total is for search results: leave it out (bdl-1).", "Bundle.total"))
    if bundle.type == "document":
        named = bundle.identifier
        if named is None or not named.system or not named.value:
            says = "A document needs an identifier with system and value (bdl-9)."
            issues.append(Issue("invariant", says, "Bundle.identifier"))
        if not bundle.timestamp:
            issues.append(Issue("invariant", "A document needs a timestamp (bdl-10).", "Bundle.timestamp"))
    return issues


def _first(bundle: Bundle) -> list[Issue]:
    wanted = {"document": "Composition", "message": "MessageHeader"}.get(bundle.type)
    if not wanted or not bundle.entry or resource_type(bundle.entry[0].resource) == wanted:
        return []
    return [Issue("invariant", f"A {bundle.type} begins with a {wanted}.", "Bundle.entry[0].resource")]


def _full_urls(entries: Sequence[BundleEntry]) -> Iterator[Issue]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        path = f"Bundle.entry[{index}].fullUrl"
        if entry.full_url and entry.full_url in seen:
            yield Issue("invariant", "Two entries have this fullUrl: give each its own (bdl-7).", path)
        if "/_history/" in entry.full_url:
            yield Issue("invariant", "A fullUrl names no version: leave /_history out (bdl-8).", path)
        seen.add(entry.full_url)


def _entries(bundle: Bundle) -> Iterator[Issue]:
    for index, entry in enumerate(bundle.entry):
        path = f"Bundle.entry[{index}]"
        if bundle.type in WITH_REQUESTS and entry.request is None:
            yield Issue("required", f"An entry of a {bundle.type} needs a request.", f"{path}.request")
        if bundle.type not in WITH_REQUESTS and entry.request is not None:
            says = f"A {bundle.type} has no requests: leave it out, or send a transaction (bdl-3)."
            yield Issue("invariant", says, f"{path}.request")
        if entry.response is not ABSENT or entry.search is not ABSENT:
            yield Issue("invariant", "response and search are for answers: leave them out (bdl-2, 4).", path)
        if entry.resource is ABSENT and (entry.request is None or entry.request.method in ("POST", "PUT")):
            yield Issue("required", "The entry has no resource: send it.", f"{path}.resource")


def resource_type(raw: bytes | msgspec.Raw) -> str:
    """The type of a resource that the validator has accepted, or empty without one."""
    return msgspec.json.decode(raw, type=_Kind).resource_type if raw is not ABSENT else ""
