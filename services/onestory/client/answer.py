"""The door's answer, read: what was taken, and what was refused and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import msgspec

from onestory.shared.errors import Misconfigured

EVENT_ID_HEADER = "X-OneStory-Event-Id"
POSITION_HEADER = "X-OneStory-Position"

_NUMBER = re.compile(r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b")
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for which something was not taken. Holds no value from a resource."""

    reason: str
    status: int
    """HTTP status of the item or entry; one that we refused ourselves gets the status that the door would give."""
    field: str = ""
    """FHIRPath of the field, where one is to blame."""
    entry: int | None = None
    """Index in Bundle.entry when this entry was refused; None when the whole item was."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the door said of one item."""

    status: int
    event_ids: tuple[str, ...] = ()
    position: str = ""
    """Token for `?after=`, to read what was just published."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def taken(self) -> bool:
        """Whether something of the item was taken: all of it, or some entries of a batch."""
        return self.status < 400


class _Text(msgspec.Struct):
    text: str = ""


class _Issue(msgspec.Struct):
    severity: str = "error"
    diagnostics: str = ""
    details: _Text = msgspec.field(default_factory=_Text)
    expression: list[str] = []


class _Outcome(msgspec.Struct):
    issue: list[_Issue] = []


class _Response(msgspec.Struct):
    status: str = ""
    outcome: _Outcome | None = None


class _Entry(msgspec.Struct):
    response: _Response = msgspec.field(default_factory=_Response)


class _Body(msgspec.Struct, rename="camel"):
    """An OperationOutcome or a response Bundle."""

    resource_type: str = ""
    issue: list[_Issue] = []
    entry: list[_Entry] = []


def read(response: httpx.Response) -> Receipt:
    """The receipt in a final answer (not one to be retried).

    Raises `Misconfigured` when it cannot have come from a OneStory door: nothing is taken for published on trust.
    """
    body = _body(response)
    # 413 often comes from a gateway in front of the door, which speaks no FHIR.
    if body is None and EVENT_ID_HEADER not in response.headers and response.status_code != 413:
        raise Misconfigured(
            f"{_place(response)} answered {response.status_code} and no FHIR: is it OneStory's base URL?"
        )
    if response.status_code >= 400:
        issues = body.issue if body else []
        return Receipt(response.status_code, refusals=tuple(_refusals(issues, response.status_code)))
    ids = response.headers.get(EVENT_ID_HEADER, "")
    return Receipt(
        status=response.status_code,
        event_ids=tuple(part.strip() for part in ids.split(",") if part.strip()),
        position=response.headers.get(POSITION_HEADER, ""),
        refusals=tuple(_refused_entries(body.entry if body else [])),
    )


def _body(response: httpx.Response) -> _Body | None:
    try:
        body = msgspec.json.decode(response.content, type=_Body)
    except msgspec.DecodeError:
        return None
    return body if body.resource_type else None


def _place(response: httpx.Response) -> str:
    return str(response.request.url.copy_with(raw_path=b"/"))


def _refused_entries(entries: Iterable[_Entry]) -> Iterable[Refusal]:
    for index, entry in enumerate(entries):
        code = entry.response.status[:3]
        if code.isdigit() and int(code) >= 400:
            issues = entry.response.outcome.issue if entry.response.outcome else []
            yield from _refusals(issues, int(code), index)


def _refusals(issues: Iterable[_Issue], status: int, entry: int | None = None) -> Iterable[Refusal]:
    to_blame = [issue for issue in issues if issue.severity in ("error", "fatal")]
    for issue in to_blame or [_Issue(diagnostics="The door gave no reason.")]:
        reason = _without_numbers(issue.diagnostics or issue.details.text or "The door gave no reason.")
        yield Refusal(reason, status, _without_numbers(", ".join(issue.expression)), entry)


def _without_numbers(text: str) -> str:
    """OneStory quotes no NHS number, but a gateway before it might."""
    return _NUMBER.sub("[number]", text)[:_LONGEST_REASON]
