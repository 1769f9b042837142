"""The one place that writes an OperationOutcome (FHIR R4, http://hl7.org/fhir/R4/operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from onestory.shared.errors import Issue

MOST_ISSUES = 100
"""As many are told at once. A small body can be wrong in millions of places, and its answer may not be a large one."""


def outcome(issues: Sequence[Issue]) -> bytes:
    """The OperationOutcome that says these issues, as JSON bytes. At least one issue is needed (FHIR: issue 1..*).

    Of very many the first are told.
    """
    told = [_issue(issue) for issue in issues[:MOST_ISSUES]]
    if len(issues) > MOST_ISSUES:
        says = f"There is more than these {MOST_ISSUES}: mend them first."
        told.append(_issue(Issue("incomplete", says, severity=issues[0].severity)))
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": told})


def _issue(issue: Issue) -> dict[str, Any]:
    said: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    return {**said, "expression": [issue.expression]} if issue.expression else said
