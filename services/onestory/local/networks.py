"""Publishes the care networks of the synthetic area to a new stack, so that its records can be read at once."""

from __future__ import annotations

from pathlib import Path

import httpx

from onestory.local.state import Stack
from onestory.local.token import fetch_token
from onestory.sample.directory import directory_submissions
from onestory.sample.network import DIRECTORY
from onestory.shared.errors import Unavailable

_MARKER = "networks-published"
_TIMEOUT_S = 30.0


def publish_networks(home: Path, stack: Stack) -> None:
    """Publish the networks and their members, once for each stack. Raises `Unavailable`."""
    marker = home / _MARKER
    if marker.exists():
        return
    bodies = [submission.body for submission in directory_submissions() if submission.source == DIRECTORY]
    headers = {
        "Authorization": f"Bearer {fetch_token(DIRECTORY.ods, role='R8000', issuer=stack.issuer)}",
        "Content-Type": "application/fhir+json",
        "Prefer": "wait=20",
    }
    for number, body in enumerate(bodies):
        _post(stack, body, {**headers, "Idempotency-Key": f"networks-of-the-synthetic-area-{number}"})
    marker.touch()


def _post(stack: Stack, body: bytes, headers: dict[str, str]) -> None:
    try:
        answer = httpx.post(
            f"{stack.base_url}/fhir", content=body, headers=headers, timeout=_TIMEOUT_S, trust_env=False
        )
    except httpx.HTTPError as error:
        raise Unavailable("The networks could not be published. Repeat: onestory up") from error
    if answer.status_code not in (200, 202):
        raise Unavailable(f"The networks could not be published ({answer.status_code}). Repeat: onestory up")
