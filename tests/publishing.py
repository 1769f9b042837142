"""Publishing over HTTP, and waiting until readers see it."""

from __future__ import annotations

from typing import Any

import httpx
from tests.people import transaction

SENT = {"Content-Type": "application/fhir+json", "Prefer": "wait=20"}
"""Headers of a publish that is answered once readers see it."""


def publish_bundle(client: httpx.Client, bundle: dict[str, Any], **headers: str) -> httpx.Response:
    """Publish a Bundle; gives the answer. Fails the test unless it is 200."""
    answer = client.post("/fhir", json=bundle, headers={**SENT, **headers})
    assert answer.status_code == 200, answer.text
    return answer


def publish(client: httpx.Client, *resources: dict[str, Any], **headers: str) -> httpx.Response:
    """Publish these as one transaction; gives the answer. Fails the test unless it is 200."""
    return publish_bundle(client, transaction(*resources), **headers)
