"""Reads a Bundle's own elements, and checks the rules of each type of Bundle (http://hl7.org/fhir/R4/bundle.html).

It also reads `meta` of Bundles and resources: the source that it names, and the publisher's claims in tags. The bytes
must be valid FHIR: the validator has accepted them before.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence

import msgspec

from onestory.intake.domain.request import PublisherClaims
from onestory.shared.errors import Forbidden, Issue, Unprocessable
from onestory.shared.fhir.definitions import canonical_identifier_system
from onestory.shared.fhir.outcome import MAX_ISSUES
from onestory.shared.identity import is_ods_code_system

SYSTEM_TAG = "https://onestory.nhs.uk/CodeSystem/source-system"
SEQUENCE_TAG = "https://onestory.nhs.uk/CodeSystem/sequence"
COMPLETE_TYPE_TAG = "https://onestory.nhs.uk/CodeSystem/complete-type"
ACCEPTED_TYPES = ("transaction", "batch", "collection", "document", "message")
WITH_REQUESTS = ("transaction", "batch")

_OUR_SOURCE = re.compile(r"(?:https://onestory\.nhs\.uk)?/organisations/(?P<organisation>[^/]+)(?:/.*)?")
# Medical record number, patient internal identifier, patient external identifier.
_IDENTIFIER_TYPES = ("http://terminology.hl7.org/CodeSystem/v2-0203", "http://hl7.org/fhir/v2/0203")
_NUMBERS_OF_PERSONS = ("MR", "PI", "PT")
_BARS_EVENTS = re.compile(r"https?://fhir\.nhs\.uk/codesystem/message-events?-(?:bars|servicerequest)", re.I)

# msgspec has no optional Raw. This object, compared by identity, means that the element is absent.
ABSENT = msgspec.Raw(b"null")


class Tag(msgspec.Struct, frozen=True):
    """A Coding in meta.tag."""

    system: str | None = None
    code: str | None = None


class Meta(msgspec.Struct, rename="camel", frozen=True):
    """The elements of meta that intake reads."""

    last_updated: str | None = None
    source: str | None = None
    tag: tuple[Tag, ...] = ()


class EntryRequest(msgspec.Struct, rename="camel", gc=False):
    """Bundle.entry.request."""

    method: str
    url: str
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_match: str | None = None
    if_none_exist: str | None = None


class BundleEntry(msgspec.Struct, rename="camel", gc=False):
    """Bundle.entry. `resource` keeps its bytes."""

    full_url: str = ""
    resource: msgspec.Raw = ABSENT
    request: EntryRequest | None = None
    response: msgspec.Raw = ABSENT
    search: msgspec.Raw = ABSENT


class Concept(msgspec.Struct):
    """The elements of a CodeableConcept that intake reads."""

    coding: tuple[Tag, ...] = ()
    text: str = ""


class Identifier(msgspec.Struct):
    """The elements of an Identifier that intake reads."""

    system: str | None = None
    value: str | None = None
    use: str | None = None
    type: Concept | None = None

    @property
    def is_number_of_person(self) -> bool:
        """Return whether its type says that it is an organisation's number of a person."""
        return self.has_type(_NUMBERS_OF_PERSONS)

    def has_type(self, codes: Collection[str] | None = None) -> bool:
        """Return whether its type has one of these codes of HL7 v2 table 0203, or any of them without `codes`."""
        return any(
            coding.system in _IDENTIFIER_TYPES and (codes is None or coding.code in codes)
            for coding in (self.type.coding if self.type else ())
        )


EMPTY_META = Meta()


class Bundle(msgspec.Struct):
    """A Bundle's own elements."""

    type: str
    id: str | None = None
    meta: Meta = EMPTY_META
    identifier: Identifier | None = None
    timestamp: str | None = None
    total: int | None = None
    entry: list[BundleEntry] = []


class _Kind(msgspec.Struct, rename="camel"):
    resource_type: str


class _EventCoding(msgspec.Struct, gc=False):
    system: str | None = None


class _Header(msgspec.Struct, rename="camel", gc=False):
    event_coding: _EventCoding | None = None


_META = msgspec.json.Decoder(Meta)
_BUNDLE = msgspec.json.Decoder(Bundle)


def read_bundle(body: bytes) -> Bundle:
    """Return the Bundle. The resources in its entries are not parsed.

    Raises `Unprocessable` for a type of Bundle that cannot be published.
    """
    bundle = _BUNDLE.decode(body)
    if bundle.type not in ACCEPTED_TYPES:
        raise Unprocessable(
            f"Bundle.type must be one of {', '.join(ACCEPTED_TYPES)}. Send the resources as a collection or a "
            "transaction.",
            code="not-supported",
            expression="Bundle.type",
        )
    return bundle


def bundle_name(bundle: Bundle) -> str:
    """Return what names the Bundle for good, as `system|value` or as an id; an empty string when nothing does.

    It is Bundle.identifier, else the id of a message (http://hl7.org/fhir/R4/messaging.html#exchange). Each POST in a
    transaction or batch creates a new resource, so those have no name.
    """
    if bundle.type in WITH_REQUESTS:
        return ""
    identifier = bundle.identifier
    if identifier and identifier.value:
        return f"{canonical_identifier_system(identifier.system or '')}|{identifier.value}"
    return (bundle.id or "") if bundle.type == "message" else ""


def resource_type_of(raw: bytes | msgspec.Raw) -> str:
    """Return the type of a resource, or an empty string for an absent one."""
    return msgspec.json.decode(raw, type=_Kind).resource_type if raw is not ABSENT else ""


def refuse_invalid_bundle(bundle: Bundle) -> None:
    """Raise `Unprocessable` for a Bundle that breaks the rules of its type, with the first `MAX_ISSUES` issues."""
    issues = itertools.chain(
        _envelope_issues(bundle), _first_entry_issues(bundle), _full_url_issues(bundle.entry), _entry_issues(bundle)
    )
    if listed := list(itertools.islice(issues, MAX_ISSUES + 1)):
        raise Unprocessable(listed[0].diagnostics, issues=listed)


def refuse_referral_message(bundle: Bundle) -> None:
    """Raise `Unprocessable` for a BaRS message: published as mere statements, it would reach no team."""
    if bundle.type != "message" or _first_entry_issues(bundle):
        return
    coding = msgspec.json.decode(bundle.entry[0].resource, type=_Header).event_coding
    if coding and _BARS_EVENTS.fullmatch(coding.system or ""):
        raise Unprocessable(
            "This is a message of the Booking and Referral Standard. Send POST /$process-message: published here, it "
            "would reach no team.",
            code="not-supported",
            expression="Bundle.entry[0].resource.eventCoding",
        )


def _envelope_issues(bundle: Bundle) -> list[Issue]:
    issues = []
    if not bundle.entry:
        issues.append(Issue("required", "The Bundle has no entry. Send at least one.", "Bundle.entry"))
    if bundle.total is not None:
        issues.append(Issue("invariant", "Only a search result has a total. Leave it out (bdl-1).", "Bundle.total"))
    if bundle.type == "document":
        identifier = bundle.identifier
        if identifier is None or not identifier.system or not identifier.value:
            text = "A document must have an identifier with system and value (bdl-9)."
            issues.append(Issue("invariant", text, "Bundle.identifier"))
        if not bundle.timestamp:
            issues.append(Issue("invariant", "A document must have a timestamp (bdl-10).", "Bundle.timestamp"))
    return issues


def _first_entry_issues(bundle: Bundle) -> list[Issue]:
    required = {"document": "Composition", "message": "MessageHeader"}.get(bundle.type)
    if not required or not bundle.entry or resource_type_of(bundle.entry[0].resource) == required:
        return []
    return [Issue("invariant", f"The first entry of a {bundle.type} must be a {required}.", "Bundle.entry[0].resource")]


def _full_url_issues(entries: Sequence[BundleEntry]) -> Iterator[Issue]:
    earlier: set[str] = set()
    for index, entry in enumerate(entries):
        path = f"Bundle.entry[{index}].fullUrl"
        if entry.full_url and entry.full_url in earlier:
            yield Issue("invariant", "Two entries have this fullUrl. Give each entry its own (bdl-7).", path)
        if "/_history/" in entry.full_url:
            yield Issue("invariant", "A fullUrl must not name a version. Leave /_history out (bdl-8).", path)
        earlier.add(entry.full_url)


def _entry_issues(bundle: Bundle) -> Iterator[Issue]:
    for index, entry in enumerate(bundle.entry):
        path = f"Bundle.entry[{index}]"
        if bundle.type in WITH_REQUESTS and entry.request is None:
            yield Issue("required", f"Each entry of a {bundle.type} must have a request.", f"{path}.request")
        if bundle.type not in WITH_REQUESTS and entry.request is not None:
            text = f"An entry of a {bundle.type} must not have a request. Leave it out, or send a transaction (bdl-3)."
            yield Issue("invariant", text, f"{path}.request")
        if entry.response is not ABSENT or entry.search is not ABSENT:
            yield Issue("invariant", "Only a server sends response and search. Leave them out (bdl-2, 4).", path)
        if entry.resource is ABSENT and (entry.request is None or entry.request.method in ("POST", "PUT")):
            yield Issue("required", "The entry has no resource. Send one.", f"{path}.resource")


def read_meta(raw: msgspec.Raw | None) -> Meta:
    """Return the meta of a resource. A resource without one has an empty meta."""
    return _META.decode(raw) if raw is not None else EMPTY_META


def is_organisation_tag(tag: Tag) -> bool:
    """Return whether a tag names the source organisation by ODS code."""
    return is_ods_code_system(tag.system)


def refuse_other_source(meta: Meta, organisation: str, path: str) -> None:
    """Raise `Forbidden` when a tag or meta.source names another organisation than the token."""
    for index, tag in enumerate(meta.tag):
        if is_organisation_tag(tag) and (tag.code or "").upper() != organisation:
            raise Forbidden(
                "This tag names another organisation than the token. Send your own, or leave it out.",
                expression=f"{path}.tag[{index}]",
            )
    match = _OUR_SOURCE.fullmatch(meta.source or "")
    if match and match["organisation"].upper() != organisation:
        raise Forbidden(
            "meta.source names another organisation than the token. Send your own, or leave it out.",
            expression=f"{path}.source",
        )


def claims_in_tags(meta: Meta) -> PublisherClaims:
    """Return the publisher's claims in meta.tag: source system, sequence, and the types with a whole list."""
    return PublisherClaims(
        system=next(_codes(meta, SYSTEM_TAG), None),
        sequence=next(_codes(meta, SEQUENCE_TAG), None),
        complete_types=tuple(_codes(meta, COMPLETE_TYPE_TAG)) or None,
    )


def _codes(meta: Meta, system: str) -> Iterator[str]:
    return (tag.code for tag in meta.tag if tag.system == system and tag.code)
