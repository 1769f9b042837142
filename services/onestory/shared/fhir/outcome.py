"""Writes an OperationOutcome (FHIR R4, http://hl7.org/fhir/R4/operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from onestory.shared.errors import Issue

MAX_ISSUES = 100
"""The largest number of issues in one answer. A small body can have millions of faults."""


def operation_outcome(issues: Sequence[Issue], contained: tuple[str, bytes] | None = None) -> bytes:
    """Return an OperationOutcome with these issues as JSON. It needs at least one issue (FHIR: issue 1..*).

    Only the first `MAX_ISSUES` are listed. `contained` is the URL of an extension, and the JSON of the contained
    resource that the extension points to.
    """
    listed = [_issue(issue) for issue in issues[:MAX_ISSUES]]
    if len(issues) > MAX_ISSUES:
        text = f"There are more issues than these {MAX_ISSUES}. Correct these first."
        listed.append(_issue(Issue("incomplete", text, severity=issues[0].severity)))
    extra = _contained(*contained) if contained else {}
    return orjson.dumps({"resourceType": "OperationOutcome", **extra, "issue": listed})


def _contained(extension: str, resource: bytes) -> dict[str, Any]:
    # A contained resource must not have a version (dom-4).
    contained = {name: value for name, value in orjson.loads(resource).items() if name != "meta"} | {"id": "shown"}
    return {"contained": [contained], "extension": [{"url": extension, "valueReference": {"reference": "#shown"}}]}


def _issue(issue: Issue) -> dict[str, Any]:
    members: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    return {**members, "expression": [issue.expression]} if issue.expression else members
