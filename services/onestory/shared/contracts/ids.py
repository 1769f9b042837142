"""Schema ids of the wire format: from the checked-in file, or from a schema registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from onestory.shared.contracts.files import folder, load_schema
from onestory.shared.contracts.topics import topics
from onestory.shared.errors import Unavailable, Unprocessable


class SchemaIds(Protocol):
    """Where the ids in the wire format come from: the checked-in file, or a schema registry."""

    def id_of(self, name: str) -> int: ...

    def schema(self, schema_id: int) -> dict[str, Any]: ...


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

    Subjects are `<topic>-value`.
    """

    def __init__(self, url: str, subjects: Mapping[str, str]) -> None:
        self._http = httpx.Client(base_url=url, timeout=5.0)
        self._subjects = subjects

    def id_of(self, name: str) -> int:
        body = {"schema": json.dumps(load_schema(name)), "schemaType": "AVRO"}
        return int(self._call("POST", f"/subjects/{self._subjects[name]}/versions", body)["id"])

    def schema(self, schema_id: int) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self._call("GET", f"/schemas/ids/{schema_id}")["schema"])
        return loaded

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"The schema registry does not answer ({type(error).__name__}).") from error
        if response.status_code == 404:
            raise Unprocessable("The schema registry does not know this schema id.", code="not-found")
        if response.status_code >= 400:
            raise Unavailable(f"The schema registry answers {response.status_code} to {method} {path}.")
        loaded: dict[str, Any] = response.json()
        return loaded


def schema_ids(schema_registry_url: str) -> SchemaIds:
    """Ids from the registry when a deployment has one, else from the checked-in file."""
    if not schema_registry_url:
        return FileIds()
    return RegistryIds(schema_registry_url, {topic.schema: f"{topic.name}-value" for topic in topics().values()})
