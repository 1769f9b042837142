"""A directory in its own PostgreSQL database, and events that tests write to it without Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prometheus_client import CollectorRegistry
from psycopg import sql

import onestory.referral
from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import Role, Team
from onestory.referral.directory.projection import DirectoryProjection
from onestory.referral.metrics import ReferralMetrics
from onestory.shared.events import ConsumedMessage, DirectoryChanged, Entry, Operation, Source
from onestory.shared.identity import DOS_SERVICE_SYSTEM, ODS_CODE_SYSTEM, SDS_USER_SYSTEM, Keys
from onestory.shared.kafka import reader
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC
from onestory.shared.postgres import database
from onestory.shared.postgres.database import Database, Queries, create_pool

MIGRATIONS = Path(onestory.referral.__file__).parent / "migrations"
KEYS = Keys(b"a secret for tests, long enough!")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TRUST = Source("RZ1", "rio")
AUTHORITY = Source("QVV", "directory")

Found = TypeVar("Found")


def at(seconds: int) -> datetime:
    """A time."""
    return BEGAN + timedelta(seconds=seconds)


def id_of(kind: str, local_id: str, source: Source = TRUST) -> str:
    """The directory id of a resource."""
    return KEYS.resource_hash(source.organisation, source.system, kind, local_id)


def reference(kind: str, local_id: str, source: Source = TRUST) -> dict[str, str]:
    """A reference in the form in which the directory holds it."""
    return {"reference": f"{kind}/{id_of(kind, local_id, source)}"}


def said(
    event_id: int,
    kind: str,
    local_id: str,
    resource: dict[str, Any] | None,
    *,
    recorded: int = 0,
    published: int = 0,
    source: Source = TRUST,
) -> DirectoryChanged:
    """An event as intake publishes it; without a resource, a retraction."""
    shared_id = id_of(kind, local_id, source)
    content = None if resource is None else {"resourceType": kind, "id": shared_id, "meta": {}, **resource}
    entry = Entry(
        kind,
        local_id,
        shared_id,
        at(recorded),
        Operation.RETRACT if content is None else Operation.ASSERT,
        None if content is None else json.dumps(content).encode(),
    )
    return DirectoryChanged(UUID(int=event_id), source, None, at(recorded), at(published), "test", entry)


def organisation(name: str = "Vale Community Health", ods: str = "RZ1") -> dict[str, Any]:
    """An Organization."""
    return {"identifier": [{"system": ODS_CODE_SYSTEM, "value": ods}], "name": name}


def service(name: str = "District nursing", dos: str = "200001", **more: Any) -> dict[str, Any]:
    """A HealthcareService of the trust."""
    numbered = {"identifier": [{"system": DOS_SERVICE_SYSTEM, "value": dos}]}
    return {"name": name, "providedBy": reference("Organization", "org"), **numbered, **more}


def practitioner(user: str = "555000000001", family: str = "Okafor") -> dict[str, Any]:
    """A Practitioner."""
    return {
        "identifier": [{"system": SDS_USER_SYSTEM, "value": user}],
        "name": [{"given": ["Ada"], "family": family}],
    }


def role(team: str = "nurses", **more: Any) -> dict[str, Any]:
    """A PractitionerRole of that practitioner at one of the trust's teams."""
    return {
        "practitioner": reference("Practitioner", "ada"),
        "healthcareService": [reference("HealthcareService", team)],
        "code": [{"coding": [{"code": "R8001"}]}],
        **more,
    }


@dataclass
class Room:
    """A directory in PostgreSQL."""

    dsn: str
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    authorities: tuple[str, ...] = (AUTHORITY.organisation,)

    def __post_init__(self) -> None:
        self.projector = DirectoryProjection(ReferralMetrics(self.registry), self.authorities)

    def project(self, *batches: Sequence[DirectoryChanged]) -> None:
        """Write batches, one transaction each."""
        for events in batches:
            self.take([arrival(event) for event in events])

    def take(self, arrivals: Sequence[ConsumedMessage]) -> None:
        """Write one batch of messages in one transaction."""
        prepared = self.projector.prepare(arrivals)
        with (
            database.connect(self.dsn, "referral") as connection,
            reader.transaction(connection) as transaction,
        ):
            done = self.projector.write(transaction, prepared)
        done()

    def ask(self, question: Callable[[Queries], Awaitable[Found]]) -> Found:
        """Return the result of a query of the directory."""

        async def asked() -> Found:
            async with create_pool(self.dsn, "record") as pool:
                return await question(Database(pool))

        return asyncio.run(asked())

    def team(self, local_id: str = "nurses") -> Team | None:
        """One of the trust's teams."""
        return self.ask(lambda queries: directory_store.find_team(queries, id_of("HealthcareService", local_id)))

    def roles(self, user: str = "555000000001") -> list[Role]:
        """The roles of a user."""
        return self.ask(lambda queries: directory_store.roles_of_user(queries, user))

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of all tables: those that readers query, and the statements behind them."""
        with database.connect(self.dsn, "referral") as connection:
            return {name: connection.execute(_every(name)).fetchall() for name in _ALL}

    def empty(self) -> None:
        """Delete all rows of the directory."""
        with database.connect(self.dsn, "referral") as connection:
            connection.execute(f"truncate {', '.join(_TABLES)}".encode())

    def counted(self, reason: str) -> float:
        """Return how many messages could not be used for this reason."""
        return (
            self.registry.get_sample_value(
                "onestory_referral_unusable_total", {"topic": DIRECTORY_TOPIC, "reason": reason}
            )
            or 0
        )


_TABLES = (
    "directory_statement",
    "directory_organisation",
    "directory_team",
    "directory_practitioner",
    "directory_role",
    "directory_role_team",
    "directory_affiliation",
    "dos_claim",
    "dos_owner",
    "practice_served_before",
    "directory_schedule",
    "directory_slot",
)
_ALL = (*_TABLES, "affiliation", "organisation", "team", "role")


def provides(practice: str, provider: str, *services: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An OrganizationAffiliation: these services of the provider serve the practice; without services, all do."""
    return {
        "organization": {"identifier": {"system": ODS_CODE_SYSTEM, "value": practice}},
        "participatingOrganization": {"identifier": {"system": ODS_CODE_SYSTEM, "value": provider}},
        "code": [{"coding": [{"system": "http://hl7.org/fhir/organization-role", "code": "provider"}]}],
        **({"healthcareService": list(services)} if services else {}),
        **more,
    }


def serving(*practices: str) -> list[dict[str, Any]]:
    """The extensions of a team that says that it serves these practices."""
    url = "https://onestory.nhs.uk/StructureDefinition/practice-served"
    return [{"url": url, "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": each}} for each in practices]


def _every(table: str) -> sql.Composed:
    return sql.SQL("select * from {} order by 1, 2").format(sql.Identifier(table))


def arrival(event: DirectoryChanged) -> ConsumedMessage:
    """A message with this event."""
    return ConsumedMessage(DIRECTORY_TOPIC, 0, 0, BEGAN, event.entry.shared_id.encode(), b"", event)
