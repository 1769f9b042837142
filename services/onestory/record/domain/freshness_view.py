"""Freshness as FHIR: the Parameters that `$freshness` answers with.

The operation is `schemas/fhir/OperationDefinition-freshness.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from onestory.record.domain.freshness import Freshness
from onestory.shared.fhir.instants import format_instant
from onestory.shared.identity import ODS_CODE_SYSTEM

_LARGEST_UNSIGNED = 2**31 - 1


def freshness_parameters(sources: Iterable[Freshness], at: datetime) -> bytes:
    """One `source` for each."""
    asked = {"name": "at", "valueInstant": format_instant(at)}
    return orjson.dumps({"resourceType": "Parameters", "parameter": [asked, *map(_source, sources)]})


def _source(source: Freshness) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "organisation", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": source.organisation}},
        {"name": "system", "valueString": source.system},
        {"name": "heard", "valueInstant": format_instant(source.heard_at)},
        {"name": "said", "valueInstant": format_instant(source.said_at)},
        {"name": "missing", "valueUnsignedInt": min(source.missing, _LARGEST_UNSIGNED)},
        {"name": "parked", "valueUnsignedInt": source.parked},
        {"name": "stale", "valueBoolean": source.stale},
    ]
    if source.former_until is not None:
        parts.append({"name": "formerUntil", "valueDate": source.former_until})
    return {"name": "source", "part": parts}
