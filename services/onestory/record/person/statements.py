"""Patient statements: their precedence, the registered practice that they name, and where they disagree. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import orjson

from onestory.shared.fhir.json import Element
from onestory.shared.fhir.references import current_practice, general_practitioners, organisation_shared_id
from onestory.shared.identity import ODS_CODE_SYSTEM


@dataclass(frozen=True, slots=True)
class PatientStatement:
    """The Patient of one source. `stated_at_us` (microseconds since 1970) tells which of two statements is newer."""

    shared_id: str
    event_id: UUID | str
    organisation: str
    stated_at_us: int
    broker_time: datetime | None
    content: bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """The sources whose word counts about a person: ODS codes of demographic authorities, and the registered practice.

    Only an authority's word of a death is a fact. Contact details and identifiers are facts by the word of an
    authority, else of the registered practice (docs/explanation/decisions/0029).
    """

    authorities: frozenset[str] = frozenset()
    practice: str | None = None

    def is_authority(self, organisation: str) -> bool:
        """Whether this organisation is a demographic authority."""
        return organisation in self.authorities

    def counts(self, organisation: str) -> bool:
        """Whether this organisation is a demographic authority or the registered practice."""
        return bool(self.standing(organisation))

    def standing(self, organisation: str) -> str:
        """`authority`, `practice`, or empty for any other source."""
        if organisation in self.authorities:
            return "authority"
        return "practice" if organisation == self.practice else ""


def by_precedence(
    statements: Iterable[PatientStatement], authorities: Collection[str], practice: str | None
) -> list[PatientStatement]:
    """The statements by precedence: demographic authority first, then the registered practice, then the newest.

    `authorities` and `practice` are ODS codes (design section 5).
    """

    def precedence(statement: PatientStatement) -> tuple[bool, bool, int, str, str]:
        return (
            statement.organisation in authorities,
            statement.organisation == practice,
            statement.stated_at_us,
            str(statement.event_id),
            statement.shared_id,
        )

    return sorted(statements, key=precedence, reverse=True)


# The registered practice.

NamedPractitioners = tuple[PatientStatement, Sequence[Mapping[str, Any]]]


def practitioners_by_precedence(
    statements: Iterable[PatientStatement], authorities: Collection[str]
) -> list[NamedPractitioners]:
    """Each statement with its generalPractitioner, by precedence: demographic authority first."""
    return [
        (statement, general_practitioners(statement.content))
        for statement in by_precedence(statements, authorities, None)
    ]


def registered_practice(
    named: Iterable[NamedPractitioners], authorities: Collection[str], practices: Mapping[str, str]
) -> str | None:
    """The ODS code of the registered practice; None when no accepted source names one.

    Where settings name demographic authorities, only their statements count (docs/explanation/decisions/0011). Without
    any, a practice that names itself goes before the newest statement. `practices` gives the ODS codes of the
    Organizations that `practice_references` returns, by shared id.
    """
    stated = [
        (statement.organisation, current_practice(practitioners, practices)) for statement, practitioners in named
    ]
    if authorities:
        # The registered practice opens the record to its network. A publisher must not get this by its own Patient.
        return next((practice for organisation, practice in stated if practice and organisation in authorities), None)
    return next((practice for organisation, practice in stated if practice == organisation), None) or next(
        (practice for _, practice in stated if practice), None
    )


def practice_references(named: Iterable[NamedPractitioners]) -> frozenset[str]:
    """The shared ids of Organizations that are named as practice by reference only."""
    shared_ids = [organisation_shared_id(practitioner) for _, practitioners in named for practitioner in practitioners]
    return frozenset(shared_id for shared_id in shared_ids if shared_id)


# Where sources disagree about a person.

DISAGREEMENT = "https://onestory.nhs.uk/StructureDefinition/patient-disagreement"
"""Extension on Patient: `element` (code), `source` (organisation), `statement` (reference to the source's Patient)."""

# Each source has its own identifiers, links and text, so differences here are no disagreement.
_SOURCE_SPECIFIC = {"identifier", "link", "extension", "modifierExtension", "contained", "text", "active", "photo"}
_IGNORED_MEMBERS = {"id", "extension", "use", "rank", "period"}


def disagreements(
    chosen: dict[str, tuple[PatientStatement, Element]],
    statements: Sequence[tuple[PatientStatement, dict[str, Element]]],
) -> list[dict[str, Any]]:
    """One extension for each element in which a statement differs from what the shared Patient shows.

    `chosen` has, by element name, the statement whose element is shown, and that element. Where the word of no source
    counts, it is the first statement that has the element. `statements` are all statements with their elements.
    """
    return [
        {"url": DISAGREEMENT, "extension": statement_reference(name, statement)}
        for name, (winner, shown) in chosen.items()
        if name not in _SOURCE_SPECIFIC
        for statement, elements in statements
        if statement is not winner and name in elements and _differ(elements[name], shown)
    ]


def statement_reference(element: str, statement: PatientStatement) -> list[dict[str, Any]]:
    """The inner extensions that name an element, the organisation that states it, and its statement."""
    source = {"identifier": {"system": ODS_CODE_SYSTEM, "value": statement.organisation}}
    return [
        {"url": "element", "valueCode": element},
        {"url": "source", "valueReference": source},
        {"url": "statement", "valueReference": {"reference": f"Patient/{statement.shared_id}"}},
    ]


def _differ(one: Element, other: Element) -> bool:
    # Most sources write most elements in the same bytes.
    return one != other and _comparable(one) != _comparable(other)


def _comparable(element: Element) -> object:
    members = {key: msgspec.json.decode(raw) for key, raw in element.items() if not key.startswith("_")}
    return _normalised(members)


def _normalised(value: Any) -> object:
    """A value without the differences that change no meaning.

    These are case, spaces at the ends, the order of repetitions, and how a value is used.
    """
    match value:
        case str():
            return value.strip().casefold()
        case list():
            return sorted({_sorted_json(_normalised(item)) for item in value})
        case dict():
            return {key: _normalised(item) for key, item in value.items() if key not in _IGNORED_MEMBERS}
        case _:
            return value


def _sorted_json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
