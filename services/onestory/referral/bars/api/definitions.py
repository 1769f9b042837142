"""`GET /MessageDefinition`: which messages are taken, as the NHS has published them."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.bars.api import searching
from onestory.referral.bars.definitions import Definition, definitions
from onestory.shared.caller import Caller
from onestory.shared.identity import DOS_SERVICE_SYSTEM

_EVENTS = "https://fhir.nhs.uk/CodeSystem/message-events-bars"
_USE_CASES = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"
_WORKFLOW = {"system": "http://terminology.hl7.org/CodeSystem/usage-context-type", "code": "workflow"}


async def search(request: Request, _caller: Caller) -> Response:
    """All of them; with `context`, an id of the Directory of Services, as of that service: each takes all."""
    service = searching.asked(request, ["context"]).get("context", [""])[0].rpartition("|")[2]
    found = [(each.url, orjson.dumps(resource(each, service))) for each in definitions().values()]
    return searching.searchset(str(request.url.path), found)


def resource(definition: Definition, service: str) -> dict[str, Any]:
    """The MessageDefinition (http://hl7.org/fhir/R4/messagedefinition.html)."""
    said = definition.published
    codings = [{"system": _USE_CASES, "code": each} for each in said["use_cases"]]
    if service:
        codings.insert(0, {"system": DOS_SERVICE_SYSTEM, "code": service})
    return {
        "resourceType": "MessageDefinition",
        "id": definition.name,
        **{name: said[name] for name in ("url", "version", "name", "title")},
        "status": "active",
        "date": said["date"],
        "useContext": [{"code": _WORKFLOW, "valueCodeableConcept": {"coding": [each]}} for each in codings],
        "eventCoding": {"system": _EVENTS, "code": definition.event},
        "focus": said["focus"],
    }
