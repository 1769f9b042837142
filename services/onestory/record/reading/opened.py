"""Contents of entries, read as JSON where a question is about what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from onestory.record.store.entries import CurrentEntry


def opened(entry: CurrentEntry) -> Mapping[str, Any]:
    """What the resource says; nothing, of one that cannot be read: it is shown as it is, and breaks no search."""
    try:
        resource = orjson.loads(entry.content or b"{}")
    except orjson.JSONDecodeError:
        resource = {}
    says = resource if isinstance(resource, dict) else {}
    return {**says, "resourceType": entry.resource_type, "id": entry.shared_id}
