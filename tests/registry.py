"""A small schema registry on loopback: the part of Confluent's API that the codec uses, and its refusals."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

_VERSIONS = re.compile(r"/subjects/(?P<subject>[^/]+)/versions")
_SUBJECT = re.compile(r"/subjects/(?P<subject>[^/]+)")
_ID = re.compile(r"/schemas/ids/(?P<id>\d+)")

Answer = tuple[int, object]


@dataclass
class Registry:
    """The schemas of the registry.

    Each schema has one id, whatever its subjects. A subject takes only a schema that can read its last one.
    """

    url: str
    schemas: dict[int, dict[str, str]] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """The requests so far, such as `GET /schemas/ids/1`."""

    def hold(self, schema_id: int, schema: str, kind: str = "AVRO") -> None:
        """Hold this schema under this id, without a subject."""
        self.schemas[schema_id] = {"schema": schema, "schemaType": kind}

    def register(self, subject: str, schema: str, first_id: int = 101) -> Answer:
        """The answer to POST /subjects/[subject]/versions."""
        known = self.subjects.setdefault(subject, [])
        if known and not _reads(schema, self.schemas[known[-1]]["schema"]):
            return 409, {"error_code": 409, "message": "Schema being registered is incompatible with an earlier schema"}
        found = self.look_up(schema)
        schema_id = found or max([first_id - 1, *self.schemas]) + 1
        self.hold(schema_id, schema)
        if schema_id not in known:
            known.append(schema_id)
        return 200, {"id": schema_id}

    def look_up(self, schema: str) -> int | None:
        """The id of a schema; None when the registry does not hold it."""
        same = (known for known, held in self.schemas.items() if held["schemaType"] == "AVRO" and _same(held, schema))
        return next(same, None)

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """The answer to one request."""
        if method == "POST" and (match := _VERSIONS.fullmatch(path)):
            return self.register(match["subject"], body["schema"])
        if method == "POST" and (match := _SUBJECT.fullmatch(path)):
            found = self.look_up(body["schema"])
            known = found in self.subjects.get(match["subject"], [])
            return (200, {"subject": match["subject"], "id": found}) if known else (404, _error(40403, "Schema"))
        if method == "GET" and (match := _ID.fullmatch(path)):
            held = self.schemas.get(int(match["id"]))
            # The type is left out for Avro, as Confluent does.
            shown = {name: value for name, value in held.items() if value != "AVRO"} if held else None
            return (200, shown) if shown else (404, _error(40403, "Schema"))
        if method == "GET" and path == "/subjects":
            return 200, sorted(self.subjects)
        return 404, _error(404, "HTTP 404")


@contextmanager
def running_registry(port: int = 0) -> Iterator[Registry]:
    """Run a registry until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            registry.asked.append(f"{self.command} {self.path}")
            status, answer = registry.answer(self.command, self.path, body)
            written = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        registry = Registry(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


def _error(code: int, what: str) -> dict[str, object]:
    return {"error_code": code, "message": f"{what} not found"}


def _same(held: dict[str, str], schema: str) -> bool:
    return bool(json.loads(held["schema"]) == json.loads(schema))


def _reads(reader: str, writer: str) -> bool:
    checker: Any = ReaderWriterCompatibilityChecker
    result = checker().get_compatibility(parse(reader), parse(writer))
    return bool(result.compatibility is SchemaCompatibilityType.compatible)
