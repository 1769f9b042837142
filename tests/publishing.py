"""Publish over HTTP, and wait until readers see the result."""

from __future__ import annotations

from typing import Any

import httpx
from tests.people import transaction

SENT = {"Content-Type": "application/fhir+json", "Prefer": "wait=20"}
"""Request headers: `Prefer: wait=20` delays the answer until readers see the submission."""


def publish_bundle(client: httpx.Client, bundle: dict[str, Any], **headers: str) -> httpx.Response:
    """Publish a Bundle and return the answer. Fails the test unless the status is 200."""
    answer = client.post("/fhir", json=bundle, headers={**SENT, **headers})
    assert answer.status_code == 200, answer.text
    return answer


def publish(client: httpx.Client, *resources: dict[str, Any], **headers: str) -> httpx.Response:
    """Publish these resources as one transaction and return the answer. Fails the test unless the status is 200."""
    return publish_bundle(client, transaction(*resources), **headers)
