"""The one place that writes an OperationOutcome (FHIR R4, http://hl7.org/fhir/R4/operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from onestory.shared.errors import Issue


def outcome(issues: Sequence[Issue]) -> bytes:
    """The OperationOutcome that says these issues, as JSON bytes. At least one issue is needed (FHIR: issue 1..*)."""
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]})


def _issue(issue: Issue) -> dict[str, Any]:
    said: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    return {**said, "expression": [issue.expression]} if issue.expression else said
