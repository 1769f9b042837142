"""HTTP of every operation on a referral: its headers, the Parameters in its body, and its answer.

Parameters: http://hl7.org/fhir/R4/parameters.html.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from onestory.referral.appointments.model import refuse_too_far
from onestory.referral.lifecycle.handler import CommandRequest, Outcome
from onestory.referral.lifecycle.model import Action, Json, Reason
from onestory.referral.lifecycle.reasons import with_displays
from onestory.referral.lifecycle.store import ReferralResource
from onestory.shared.errors import Malformed, PreconditionRequired, Unprocessable
from onestory.shared.fhir.bundle import entity_tags, etag
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.fhir.validate import check_resource, validate
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.request import idempotency_key
from onestory.shared.policy import Caller
from onestory.shared.visible_positions import event_token


def command_request(http: HttpRequest, caller: Caller, body: bytes) -> CommandRequest:
    """The request for a change. Its digest covers method, path and body. Raises `Malformed` for an invalid key."""
    address = f"{http.method} {http.url.path}".encode()
    digest = hashlib.sha256(address + b"\0" + body).digest()
    return CommandRequest(caller, str(http.state.correlation_id), idempotency_key(http.headers), digest)


def if_match(http: HttpRequest) -> UUID:
    """The version in If-Match. Raises `PreconditionRequired` where it is missing, `Malformed` where it is no ETag."""
    given = http.headers.get("If-Match", "").strip()
    if not given:
        raise PreconditionRequired(
            "Send If-Match with the ETag of the Task that you read, so that you overwrite no unseen change."
        )
    try:
        (version,) = entity_tags(given)
        return UUID(version or "")
    except ValueError as error:
        raise Malformed('If-Match must be the ETag that the Task came with, such as W/"...".', code="value") from error


def resource_response(
    resource: ReferralResource, fhir: str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """The answer with one resource, its ETag and its address."""
    own = {
        "ETag": etag(resource.event_id),
        "Last-Modified": resource.changed_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Content-Location": f"{fhir}/{resource.resource_type}/{resource.shared_id}",
    }
    return Response(resource.content, status, {**own, **(headers or {})}, FHIR_JSON)


def position_header(outcome: Outcome) -> dict[str, str]:
    """The position token of a change: a read with `?after=` waits until it sees it."""
    return {"X-OneStory-Position": event_token(outcome.referral.person_key, outcome.referral.changed_by)}


def creation_headers(outcomes: Sequence[Outcome], fhir: str) -> dict[str, str]:
    """Headers with the addresses of a new referral and of the Task of each team, and with warnings (RFC 7234, 5.5)."""
    warnings = dict.fromkeys(text for outcome in outcomes for text in outcome.warnings)
    warning = ", ".join(f'199 OneStory "{text}"' for text in warnings)
    tasks = [f'<{fhir}/Task/{outcome.task.shared_id}>; rel="related"' for outcome in outcomes]
    return {
        **({"Warning": warning} if warning else {}),
        **position_header(outcomes[-1]),
        "Location": f"{fhir}/ServiceRequest/{outcomes[0].service_request.shared_id}",
        "Link": ", ".join(tasks),
    }


_ACCEPTED_PARAMETERS: Mapping[Action, Collection[str]] = {
    Action.REJECT: ("reason", "businessStatus", "appointments"),
    Action.HOLD: ("reason", "businessStatus", "until"),
    Action.FAIL: ("reason", "businessStatus", "output", "appointments"),
    Action.CANCEL: ("reason", "businessStatus", "appointments"),
    Action.CORRECT: ("reason",),
    Action.REDIRECT: ("reason", "recipient", "appointments"),
    Action.BOOK: ("businessStatus", "output", "start", "appointment"),
    Action.COMPLETE: ("businessStatus", "output", "outcome", "appointments"),
    Action.ACCEPT: ("businessStatus",),
    Action.START: ("businessStatus",),
    Action.RESUME: ("businessStatus",),
}
_OUTPUTS = ("output", "outcome")
_REPEATS = (*_OUTPUTS, "attachment", "about", "supportingInfo")


def accepted_parameters(action: Action) -> Collection[str]:
    """The names of the parameters that the operation of an action accepts."""
    return _ACCEPTED_PARAMETERS.get(action, ())


class OperationParameters:
    """The Parameters of one operation. Raises `Malformed` and `Unprocessable` where they cannot be read."""

    def __init__(self, body: bytes, known: Collection[str]) -> None:
        self._values: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for index, parameter in enumerate(_parameters(body)):
            path = f"Parameters.parameter[{index}]"
            name = str(parameter.get("name"))
            if name not in known:
                problem = (
                    f"This operation takes {', '.join(known)}." if known else "This operation takes no parameters."
                )
                raise Unprocessable(problem, code="not-supported", expression=f"{path}.name")
            if name in self._values and name not in _REPEATS:
                raise Unprocessable("Send this parameter once.", code="invariant", expression=path)
            self._values.setdefault(name, []).append((path, parameter))

    def reason(self) -> Reason | None:
        """The reason: a CodeableConcept with a code or a text. A string becomes its text."""
        located = self._value("reason", "CodeableConcept", "String")
        if located is None:
            return None
        path, value = located
        concept: Mapping[str, Any] = {"text": value} if isinstance(value, str) else value
        codes = [str(coding.get("code", "")).strip() for coding in concept.get("coding", ())]
        code = next(filter(None, codes), "")
        if not code and not str(concept.get("text", "")).strip():
            raise Unprocessable("Give the reason a code or a text.", code="required", expression=path)
        return Reason(code, with_displays(concept))

    def code(self, name: str) -> str:
        """A code; empty where none is given."""
        located = self._value(name, "Code", "String", "Id")
        return located[1] if located else ""

    def reference(self, name: str) -> tuple[str, Json] | None:
        """The path of a parameter, and its Reference; None where it is not given."""
        return self._value(name, "Reference")

    def instant(self, name: str, after: datetime) -> datetime | None:
        """An instant later than `after`; None where it is not given."""
        located = self._value(name, "Instant", "DateTime")
        if located is None:
            return None
        path, value = located
        try:
            instant = parse_instant(value)
        except ValueError as error:
            problem = "Send date, time and time zone, such as 2026-05-01T09:30:00Z."
            raise Unprocessable(problem, code="value", expression=path) from error
        if instant <= after:
            raise Unprocessable("This instant is in the past: send a later one.", code="value", expression=path)
        refuse_too_far(instant, after, path)
        return instant

    def outputs(self) -> tuple[Json, ...]:
        """The results of the Task, each as a Task.output (http://hl7.org/fhir/R4/task-definitions.html)."""
        return tuple(
            {"type": {"text": name}, **_output(path, parameter)}
            for name in _OUTPUTS
            for path, parameter in self._values.get(name, ())
        )

    def resource(self, name: str) -> Json | None:
        """A parameter that is a resource; None where it is not given."""
        for path, parameter in self._values.get(name, ()):
            if "resource" not in parameter:
                raise Unprocessable("Send it as resource.", code="value", expression=path)
            found: Json = parameter["resource"]
            return found
        return None

    def text(self, name: str) -> str:
        """A string without surrounding spaces; empty where none is given."""
        located = self._value(name, "String", "Markdown")
        return located[1].strip() if located else ""

    def repeated(self, name: str, fhir_type: str) -> Iterator[tuple[str, Json]]:
        """All values of a parameter that repeats: the path and the value of each. All must have this FHIR type."""
        for path, parameter in self._values.get(name, ()):
            if f"value{fhir_type}" not in parameter:
                raise Unprocessable(f"Send it as value{fhir_type}.", code="value", expression=path)
            yield f"{path}.value{fhir_type}", parameter[f"value{fhir_type}"]

    def _value(self, name: str, *fhir_types: str) -> tuple[str, Any] | None:
        """The path and the value of a parameter that has one of these FHIR types; None where it is not given."""
        for path, parameter in self._values.get(name, ()):
            for fhir_type in fhir_types:
                if f"value{fhir_type}" in parameter:
                    return f"{path}.value{fhir_type}", parameter[f"value{fhir_type}"]
            problem = f"Send it as {' or '.join(f'value{fhir_type}' for fhir_type in fhir_types)}."
            raise Unprocessable(problem, code="value", expression=path)
        return None


def _output(path: str, parameter: Mapping[str, Any]) -> dict[str, Any]:
    for fhir_type in ("Reference", "String", "CodeableConcept", "Attachment", "DateTime"):
        if f"value{fhir_type}" in parameter:
            return {f"value{fhir_type}": parameter[f"value{fhir_type}"]}
    problem = "Send it as valueReference, valueString, valueCodeableConcept, valueAttachment or valueDateTime."
    raise Unprocessable(problem, code="value", expression=path)


def _parameters(body: bytes) -> list[Mapping[str, Any]]:
    if not body.strip():
        return []
    if issues := validate(body):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    resource = orjson.loads(body)
    if resource["resourceType"] != "Parameters":
        problem = "Send Parameters, or no body at all."
        raise Unprocessable(problem, code="structure", expression=str(resource["resourceType"]))
    if issues := check_resource(body, "Parameters", "Parameters"):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    return list(resource.get("parameter", ()))
