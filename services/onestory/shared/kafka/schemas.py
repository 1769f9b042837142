"""The contract files in `schemas/`: topics, Avro schemas, and the schema ids of the wire format.

Schema ids come from a schema registry when a deployment has one, else from `schemas/avro/ids.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import httpx
import yaml

from onestory.shared.errors import Misconfigured, Unavailable, Unprocessable
from onestory.shared.http.caller import LOOPBACK_URLS

RECORD_TOPIC = "care.record"
DIRECTORY_TOPIC = "care.directory"
PARKED_TOPIC = "care.parked"
ACCESS_TOPIC = "care.access"
SUMMARY_TOPIC = "care.summary"
REFERRAL_TOPIC = "care.referral"

_REGISTRY_SETTING = "ONESTORY_SCHEMA_REGISTRY_URL"


def schemas_folder() -> Path:
    """Return the folder `schemas/`: inside the installed package (wheel), else at the top of the repository."""
    package = Path(__file__).parents[2] / "schemas"
    return package if package.is_dir() else Path(__file__).parents[4] / "schemas"


def load_schema(name: str) -> dict[str, Any]:
    """Return the current Avro schema of an event, as JSON."""
    loaded: dict[str, Any] = json.loads((schemas_folder() / "avro" / f"{name}.avsc").read_text())
    return loaded


@dataclass(frozen=True, slots=True)
class Topic:
    """One file of `schemas/topics/`. `retention_ms` is -1 when messages are kept for ever."""

    name: str
    schema: str
    partitions: int
    retention_ms: int
    cleanup: str
    max_message_bytes: int


@cache
def topics() -> Mapping[str, Topic]:
    """Return every topic by name. Raises `Misconfigured` when a file lacks a field or has a wrong one."""
    loaded = (_topic(path) for path in sorted((schemas_folder() / "topics").glob("*.yaml")))
    return MappingProxyType({topic.name: topic for topic in loaded})


def _topic(path: Path) -> Topic:
    try:
        raw = yaml.safe_load(path.read_text())
        return Topic(
            name=raw["topic"],
            schema=raw["schema"],
            partitions=int(raw["partitions"]),
            retention_ms=_milliseconds(raw["retention"]),
            cleanup=raw["cleanup"],
            max_message_bytes=int(raw["max_message_bytes"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Misconfigured(f"schemas/topics/{path.name} cannot be used: {error!r}.") from error


def _milliseconds(retention: str) -> int:
    if retention == "forever":
        return -1
    days, unit = retention.split()
    if unit != "days":
        raise ValueError(f"retention is 'forever' or 'N days', not {retention!r}")
    return int(days) * 86_400_000


class SchemaIds(Protocol):
    """Maps event names to schema ids, and schema ids to Avro schemas."""

    def id_of(self, name: str) -> int:
        """Return the id of an event's current schema."""

    def schema(self, schema_id: int) -> Any:
        """Return the schema with this id, as JSON. Raises `Unprocessable` for an unknown id."""


class FileSchemaIds:
    """Ids from `schemas/avro/ids.json`, for a deployment without a registry.

    An id never changes its schema. A changed event gets a new id, and its earlier schema stays in `history/`.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = json.loads((schemas_folder() / "avro" / "ids.json").read_text())
        self._files = {schema_id: self._file(key) for key, schema_id in self._ids.items()}

    def id_of(self, name: str) -> int:
        return self._ids[name]

    def schema(self, schema_id: int) -> dict[str, Any]:
        if schema_id not in self._files:
            raise Unprocessable(f"Schema id {schema_id} is not in schemas/avro/ids.json.", code="not-found")
        loaded: dict[str, Any] = json.loads(self._files[schema_id].read_text())
        return loaded

    @staticmethod
    def _file(key: str) -> Path:
        """Return the file of a key: `RecordChanged` is the current schema, `RecordChanged.1` is version 1."""
        avro = schemas_folder() / "avro"
        return avro / "history" / f"{key}.avsc" if "." in key else avro / f"{key}.avsc"


class RegistrySchemaIds:
    """Ids from a Confluent-compatible registry (Confluent, or Apicurio's `/apis/ccompat/v7`).

    Subjects are `<topic>-value`. Every method raises `Unavailable` when the registry gives no usable answer.
    """

    def __init__(self, url: str, subjects: Mapping[str, str]) -> None:
        direct = {pattern: httpx.HTTPTransport() for pattern in LOOPBACK_URLS}
        self._http = httpx.Client(base_url=url, timeout=5.0, mounts=direct)
        self._subjects = subjects

    def id_of(self, name: str) -> int:
        """Register the current schema and return its id. Raises `Misconfigured` when the registry refuses it."""
        subject = self._subjects[name]
        body = {"schema": json.dumps(load_schema(name)), "schemaType": "AVRO"}
        status, answer = self._call("POST", f"/subjects/{subject}/versions", body)
        if status in (409, 422):
            raise Misconfigured(
                f"The schema registry refuses the schema of {subject}: it is not compatible with the registered one."
            )
        if status != 200 or not isinstance(answer.get("id"), int):
            raise Unavailable(f"The registry at {_REGISTRY_SETTING} answers {status} when {subject} is registered.")
        return int(answer["id"])

    def schema(self, schema_id: int) -> Any:
        status, answer = self._call("GET", f"/schemas/ids/{schema_id}")
        if status == 404:
            raise Unprocessable("The schema registry does not know this schema id.", code="not-found")
        if status != 200:
            raise Unavailable(f"The registry at {_REGISTRY_SETTING} answers {status} to a request for a schema.")
        if answer.get("schemaType", "AVRO") != "AVRO":
            raise Unprocessable("The schema registry has a schema under this id that is not Avro.")
        return json.loads(answer["schema"])

    def _call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Return status and body. The body is empty when it is no JSON object."""
        try:
            response = self._http.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"The schema registry does not answer at the address in {_REGISTRY_SETTING}.") from error
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        return response.status_code, answer if isinstance(answer, dict) else {}


def schema_ids(schema_registry_url: str) -> SchemaIds:
    """Return ids from the registry at this URL, or from `ids.json` when the URL is empty."""
    if not schema_registry_url:
        return FileSchemaIds()
    return RegistrySchemaIds(schema_registry_url, {topic.schema: f"{topic.name}-value" for topic in topics().values()})
