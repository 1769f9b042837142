"""HTTP without an HTTP client: send raw bytes to a socket, and read the answer."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 30.0
# The codes of http://hl7.org/fhir/R4/valueset-issue-type.html that mean an error.
ISSUE_TYPES = frozenset(
    (
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "timeout",
        "incomplete",
        "throttled",
    )
)
_EXPRESSION = re.compile(r"[A-Z][A-Za-z]*(\.[A-Za-z_]\w*(\[\d+\])*)*")
# Refusals that name no field: the body cannot be parsed, or a header is at fault.
_OF_NO_FIELD = ("The body is not JSON", "Idempotency-Key", "X-Complete-Types", "X-Sequence")
_INSIDES = re.compile(
    rb'Traceback|File \\?"|site-packages|\w(Error|Exception)\b|msgspec|asyncpg|psycopg|fhirkit|kafka\.'
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `headers` are written unchanged. Content-Length is added unless they define the end of the body."""

    what: str
    """A label that explains a failed test to its reader."""
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    places: bool = False
    """Whether the body is close enough to FHIR that a refusal must name the field at fault."""

    def head(self) -> bytes:
        """The request line and the headers, as bytes."""
        lines = [f"{self.method} {self.path} HTTP/1.1", *[f"{name}: {value}" for name, value in self.headers.items()]]
        if not {"Content-Length", "Transfer-Encoding"} & set(self.headers):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request. Status 0: the connection was closed without an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        return json.loads(self.body)

    def list_of(self, header: str) -> list[str]:
        return [part for part in self.headers.get(header, "").split(", ") if part]


def exchange(base_url: str, request: Request) -> Answer:
    """Send the request on a new connection, and return the answer."""
    return exchange_bytes(base_url, [request.head(), request.body], request.method)


def exchange_bytes(base_url: str, parts: Iterable[bytes], method: str = "GET", *, hang_up: bool = False) -> Answer:
    """Send these bytes. `hang_up` closes the sending side afterwards."""
    address = urlsplit(base_url)
    with socket.create_connection((str(address.hostname), address.port or 80), TIMEOUT_S) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has closed the connection; its answer may be there already
        return _answer(connection, method)


def _answer(connection: socket.socket, method: str) -> Answer:
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        body = response.read()
    except (http.client.BadStatusLine, ConnectionResetError):
        return Answer(0)
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def unfair(request: Request, answer: Answer) -> str:
    """The fault of this answer, by rules for every request; empty if there is none."""
    if answer.status >= 500 or answer.status == 0:
        return f"status {answer.status}"
    if _INSIDES.search(answer.body) and not answer.taken:
        return f"the insides are out: {answer.body[:300]!r}"
    if answer.status < 400:
        return ""
    if request.method == "HEAD":
        return ""
    if answer.headers.get("content-type") != "application/fhir+json; charset=utf-8":
        return f"content type {answer.headers.get('content-type')}"
    return unfair_outcome(answer.json(), request)


def unfair_outcome(outcome: Any, request: Request) -> str:
    """The fault of an OperationOutcome that refuses a request; empty if there is none."""
    if outcome.get("resourceType") != "OperationOutcome" or not outcome.get("issue"):
        return "no OperationOutcome"
    for issue in outcome["issue"]:
        if issue["severity"] not in ("fatal", "error") or issue["code"] not in ISSUE_TYPES or not issue["diagnostics"]:
            return f"issue {issue}"
        if not all(_EXPRESSION.fullmatch(each) for each in issue.get("expression", [])):
            return f"no FHIRPath: {issue['expression']}"
    first = outcome["issue"][0]
    if request.places and "expression" not in first and not first["diagnostics"].startswith(_OF_NO_FIELD):
        return f"no field is named: {outcome['issue']}"
    return ""


def read_refusals(answer: Answer) -> list[Any]:
    """The OperationOutcomes of refused entries, from the answer to a batch."""
    if not answer.taken or not answer.body:
        return []
    responses = [entry["response"] for entry in answer.json().get("entry", []) if "response" in entry]
    return [response["outcome"] for response in responses if response["status"] >= "4"]
