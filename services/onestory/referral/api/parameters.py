"""What is said with an operation: the Parameters in its body (http://hl7.org/fhir/R4/parameters.html), as a command."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from onestory.referral.domain.machine import Action
from onestory.referral.domain.referral import Json, Reason
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.instants import parse_instant
from onestory.shared.fhir.validation import check, validate

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


class Said:
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
