"""Schema ids of the wire format: from the checked-in file, or from a schema registry."""

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

# Where the contract's files are: `schemas/`.


def folder() -> Path:
    """`schemas/`: inside the package when it is installed from a wheel, else at the top of the repository."""
    package = Path(__file__).parents[2] / "schemas"
    return package if package.is_dir() else Path(__file__).parents[4] / "schemas"


def load_schema(name: str) -> dict[str, Any]:
    """The current Avro schema of an event, as JSON."""
    loaded: dict[str, Any] = json.loads((folder() / "avro" / f"{name}.avsc").read_text())
    return loaded


# Topics are data: one file of `schemas/topics/` for each.

RECORD = "care.record"
DIRECTORY = "care.directory"
PARKED = "care.parked"
ACCESS = "care.access"
SUMMARY = "care.summary"
REFERRAL = "care.referral"


@dataclass(frozen=True, slots=True)
class Topic:
    """One file of `schemas/topics/`. `retention_ms` is -1 for ever."""

    name: str
    schema: str
    partitions: int
    retention_ms: int
    cleanup: str
    max_message_bytes: int


@cache
def topics() -> Mapping[str, Topic]:
    """Every topic by name. Raises `Misconfigured` when a file does not say what a topic needs."""
    loaded = (_topic(path) for path in sorted((folder() / "topics").glob("*.yaml")))
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


_VARIABLE = "ONESTORY_SCHEMA_REGISTRY_URL"


class SchemaIds(Protocol):
    """Where the ids in the wire format come from: the checked-in file, or a schema registry."""

    def id_of(self, name: str) -> int: ...

    def schema(self, schema_id: int) -> Any: ...


class FileIds:
    """Ids from `schemas/avro/ids.json`: what a deployment without a registry uses.

    An id stands for one schema for ever, so a changed event gets a new id and its predecessor stays in `history/`.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = json.loads((folder() / "avro" / "ids.json").read_text())
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
        """`RecordChanged` is the current schema; `RecordChanged.1` is version 1 in the history."""
        avro = folder() / "avro"
        return avro / "history" / f"{key}.avsc" if "." in key else avro / f"{key}.avsc"


class RegistryIds:
    """Ids from a Confluent-compatible registry (Confluent, or Apicurio's `/apis/ccompat/v7`).

    Subjects are `<topic>-value`. Everything raises `Unavailable` when the registry does not answer as it should.
    """

    def __init__(self, url: str, subjects: Mapping[str, str]) -> None:
        self._http = httpx.Client(base_url=url, timeout=5.0)
        self._subjects = subjects

    def id_of(self, name: str) -> int:
        """The id, which the registry gives at the first time. Raises `Misconfigured` when it refuses the schema."""
        subject = self._subjects[name]
        body = {"schema": json.dumps(load_schema(name)), "schemaType": "AVRO"}
        status, answer = self._call("POST", f"/subjects/{subject}/versions", body)
        if status in (409, 422):
            raise Misconfigured(f"The schema registry refuses our schema of {subject}: what it has is not compatible.")
        if status != 200 or not isinstance(answer.get("id"), int):
            raise Unavailable(f"The registry at {_VARIABLE} answers {status} when {subject} is registered.")
        return int(answer["id"])

    def schema(self, schema_id: int) -> Any:
        status, answer = self._call("GET", f"/schemas/ids/{schema_id}")
        if status == 404:
            raise Unprocessable("The schema registry does not know this schema id.", code="not-found")
        if status != 200:
            raise Unavailable(f"The registry at {_VARIABLE} answers {status} when it is asked for a schema.")
        if answer.get("schemaType", "AVRO") != "AVRO":
            raise Unprocessable("What the schema registry has under this schema id is not Avro.")
        return json.loads(answer["schema"])

    def _call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and body; the body is empty when it is no JSON object."""
        try:
            response = self._http.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"The schema registry does not answer at the address in {_VARIABLE}.") from error
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        return response.status_code, answer if isinstance(answer, dict) else {}


def schema_ids(schema_registry_url: str) -> SchemaIds:
    """Ids from the registry when a deployment has one, else from the checked-in file."""
    if not schema_registry_url:
        return FileIds()
    return RegistryIds(schema_registry_url, {topic.schema: f"{topic.name}-value" for topic in topics().values()})
