"""A fake of intake that answers without a socket. A test can script other answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx

Answer = httpx.Response | Exception
Script = Callable[[httpx.Request, Any], Answer | None]

BASE_URL = "http://127.0.0.1:8080"


class FakeDoor(httpx.AsyncBaseTransport):
    """Accepts everything, unless `script` returns another answer for a request, or an exception to raise."""

    def __init__(self, script: Script = lambda _request, _resource: None) -> None:
        self.requests: list[httpx.Request] = []
        self.bodies: list[Any] = []
        self._script = script

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = request.content
        body = gzip.decompress(content) if request.headers.get("Content-Encoding") == "gzip" else content
        resource = json.loads(body)
        self.requests.append(request)
        self.bodies.append(resource)
        answer = self._script(request, resource) or taken(resource)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def keys(self) -> list[str]:
        """The idempotency keys, in the order of arrival."""
        return [request.headers["Idempotency-Key"] for request in self.requests]

    @property
    def calls(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


def taken(resource: Any) -> httpx.Response:
    """The answer of intake to a valid submission."""
    headers = {"X-OneStory-Event-Id": "e1, e2", "X-OneStory-Position": "p1"}
    if resource["resourceType"] != "Bundle":
        return httpx.Response(201, headers=headers)
    entries = [{"response": {"status": "201 Created"}} for _ in resource.get("entry", [])]
    return bundle_answer(entries, headers)


def bundle_answer(entries: list[dict[str, Any]], headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"resourceType": "Bundle", "type": "batch-response", "entry": entries}
    return httpx.Response(200, headers=headers, json=body)


def refused(status: int, diagnostics: str, expression: str = "") -> httpx.Response:
    return httpx.Response(status, json=outcome(diagnostics, expression))


def outcome(diagnostics: str, expression: str = "") -> dict[str, Any]:
    issue: dict[str, Any] = {"severity": "error", "code": "invalid", "diagnostics": diagnostics}
    if expression:
        issue["expression"] = [expression]
    return {"resourceType": "OperationOutcome", "issue": [issue]}
