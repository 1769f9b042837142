"""What every change of a referral has in common as HTTP: who asks, under which keys, knowing which version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from onestory.referral.lifecycle.handler import CommandRequest, Outcome
from onestory.referral.lifecycle.machine import Action
from onestory.referral.lifecycle.model import Json, Reason
from onestory.referral.lifecycle.store import ReferralResource
from onestory.shared.errors import Malformed, PreconditionRequired, Unprocessable
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.fhir.validate import check, validate
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.request import idempotency_key

_TAG = re.compile(r'(?:W/)?"(?P<version>[^"]+)"')


def request(http: HttpRequest, caller: Caller, body: bytes) -> CommandRequest:
    """Who asks for what. Raises `Malformed` for a key that cannot be one."""
    address = f"{http.method} {http.url.path}".encode()
    digest = hashlib.sha256(address + b"\0" + body).digest()
    return CommandRequest(caller, str(http.state.correlation_id), idempotency_key(http.headers), digest)


def if_match(http: HttpRequest) -> UUID:
    """The version that the caller knows. Raises `PreconditionRequired` without one, `Malformed` for what is none."""
    given = http.headers.get("If-Match", "").strip()
    if not given:
        raise PreconditionRequired(
            "Send If-Match with the ETag of the Task as you know it, so that nobody's change is overwritten unseen."
        )
    match = _TAG.fullmatch(given)
    try:
        return UUID(match["version"] if match else "")
    except ValueError as error:
        raise Malformed('If-Match must be the ETag that the Task came with, such as W/"...".', code="value") from error


def shown(resource: ReferralResource, fhir: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A resource as the answer, with its ETag and where it is."""
    said = {
        "ETag": f'W/"{resource.event_id}"',
        "Last-Modified": resource.changed_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Content-Location": f"{fhir}/{resource.resource_type}/{resource.shared_id}",
    }
    return Response(resource.content, status, {**said, **(headers or {})}, FHIR_JSON)


def links(outcome: Outcome, fhir: str) -> dict[str, str]:
    """Where the Task of a new referral is, beside the referral itself."""
    return {
        "Location": f"{fhir}/ServiceRequest/{outcome.service_request.shared_id}",
        "Link": f'<{fhir}/Task/{outcome.task.shared_id}>; rel="related"',
    }


# What is said with an operation: the Parameters in its body (http://hl7.org/fhir/R4/parameters.html), as a command.

_TAKES: Mapping[Action, Collection[str]] = {
    Action.REJECT: ("reason", "businessStatus"),
    Action.HOLD: ("reason", "businessStatus", "until"),
    Action.FAIL: ("reason", "businessStatus", "output"),
    Action.CANCEL: ("reason", "businessStatus"),
    Action.CORRECT: ("reason",),
    Action.REDIRECT: ("reason", "recipient"),
    Action.BOOK: ("businessStatus", "output", "start"),
    Action.COMPLETE: ("businessStatus", "output", "outcome"),
    Action.ACCEPT: ("businessStatus",),
    Action.START: ("businessStatus",),
    Action.RESUME: ("businessStatus",),
}
_OUTPUTS = ("output", "outcome")
_REPEATS = (*_OUTPUTS, "attachment", "about")


def takes(action: Action) -> Collection[str]:
    """The names of the parameters that an operation knows."""
    return _TAKES.get(action, ())


class OperationParameters:
    """The parameters of one call. Raises `Malformed` and `Unprocessable` for what cannot be read."""

    def __init__(self, body: bytes, known: Collection[str]) -> None:
        self._values: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for index, each in enumerate(_parameters(body)):
            path = f"Parameters.parameter[{index}]"
            name = str(each.get("name"))
            if name not in known:
                says = f"This operation takes {', '.join(known)}." if known else "This operation takes no parameters."
                raise Unprocessable(says, code="not-supported", expression=f"{path}.name")
            if name in self._values and name not in _REPEATS:
                raise Unprocessable("Send this parameter once.", code="invariant", expression=path)
            self._values.setdefault(name, []).append((path, each))

    def reason(self) -> Reason | None:
        """A CodeableConcept with a code or a text; a string is a text."""
        found = self._value("reason", "CodeableConcept", "String")
        if found is None:
            return None
        path, value = found
        concept: Mapping[str, Any] = {"text": value} if isinstance(value, str) else value
        codes = [str(coding.get("code", "")).strip() for coding in concept.get("coding", ())]
        code = next(filter(None, codes), "")
        if not code and not str(concept.get("text", "")).strip():
            raise Unprocessable("Give the reason a code or a text.", code="required", expression=path)
        return Reason(code, concept)

    def word(self, name: str) -> str:
        """A code; empty where none is given."""
        found = self._value(name, "Code", "String")
        return found[1] if found else ""

    def reference(self, name: str) -> tuple[str, Json] | None:
        """A Reference, and where it stands."""
        return self._value(name, "Reference")

    def moment(self, name: str, after: datetime) -> datetime | None:
        """An instant later than `after`."""
        found = self._value(name, "Instant", "DateTime")
        if found is None:
            return None
        try:
            moment = parse_instant(found[1])
        except ValueError as error:
            says = "Send date, time and time zone, such as 2026-05-01T09:30:00Z."
            raise Unprocessable(says, code="value", expression=found[0]) from error
        if moment <= after:
            raise Unprocessable("This lies in the past: send when it shall be.", code="value", expression=found[0])
        return moment

    def outputs(self) -> tuple[Json, ...]:
        """What the Task has brought about: each a Task.output (http://hl7.org/fhir/R4/task-definitions.html)."""
        return tuple(
            {"type": {"text": name}, **_output(path, each)}
            for name in _OUTPUTS
            for path, each in self._values.get(name, ())
        )

    def text(self, name: str) -> str:
        """A string; empty where none is given, or nothing but spaces."""
        found = self._value(name, "String", "Markdown")
        return found[1].strip() if found else ""

    def every(self, name: str, kind: str) -> Iterator[tuple[str, Json]]:
        """All values of a parameter that repeats, of this type, and where each stands."""
        for path, each in self._values.get(name, ()):
            if f"value{kind}" not in each:
                raise Unprocessable(f"Send it as value{kind}.", code="value", expression=path)
            yield f"{path}.value{kind}", each[f"value{kind}"]

    def _value(self, name: str, *kinds: str) -> tuple[str, Any] | None:
        for path, each in self._values.get(name, ()):
            for kind in kinds:
                if f"value{kind}" in each:
                    return f"{path}.value{kind}", each[f"value{kind}"]
            says = f"Send it as {' or '.join(f'value{kind}' for kind in kinds)}."
            raise Unprocessable(says, code="value", expression=path)
        return None


def _output(path: str, parameter: Mapping[str, Any]) -> dict[str, Any]:
    for kind in ("Reference", "String", "CodeableConcept", "Attachment", "DateTime"):
        if f"value{kind}" in parameter:
            return {f"value{kind}": parameter[f"value{kind}"]}
    says = "Send it as valueReference, valueString, valueCodeableConcept, valueAttachment or valueDateTime."
    raise Unprocessable(says, code="value", expression=path)


def _parameters(body: bytes) -> list[Mapping[str, Any]]:
    if not body.strip():
        return []
    if issues := validate(body):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    resource = orjson.loads(body)
    if resource["resourceType"] != "Parameters":
        says = "Send Parameters, or no body at all."
        raise Unprocessable(says, code="structure", expression=str(resource["resourceType"]))
    if issues := check(body, "Parameters", "Parameters"):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    return list(resource.get("parameter", ()))
