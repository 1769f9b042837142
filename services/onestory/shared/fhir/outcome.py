"""The one place that writes an OperationOutcome (FHIR R4, http://hl7.org/fhir/R4/operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from onestory.shared.errors import Issue

MOST_ISSUES = 100
"""As many are told at once. A small body can be wrong in millions of places, and its answer may not be a large one."""


def outcome(issues: Sequence[Issue], contained: tuple[str, bytes] | None = None) -> bytes:
    """The OperationOutcome that says these issues, as JSON bytes. At least one issue is needed (FHIR: issue 1..*).

    Of very many the first are told. `contained` is a resource to show, and the extension that points to it.
    """
    told = [_issue(issue) for issue in issues[:MOST_ISSUES]]
    if len(issues) > MOST_ISSUES:
        says = f"There is more than these {MOST_ISSUES}: mend them first."
        told.append(_issue(Issue("incomplete", says, severity=issues[0].severity)))
    shown = _shown(*contained) if contained else {}
    return orjson.dumps({"resourceType": "OperationOutcome", **shown, "issue": told})


def _shown(extension: str, resource: bytes) -> dict[str, Any]:
    # What is contained has no version of its own (dom-4).
    shown = {name: value for name, value in orjson.loads(resource).items() if name != "meta"} | {"id": "shown"}
    return {"contained": [shown], "extension": [{"url": extension, "valueReference": {"reference": "#shown"}}]}


def _issue(issue: Issue) -> dict[str, Any]:
    said: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    return {**said, "expression": [issue.expression]} if issue.expression else said
