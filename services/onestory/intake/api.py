"""The routes of the door."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from onestory.intake import about, headers
from onestory.intake.answers import Answers
from onestory.intake.domain.reception import Arrival
from onestory.intake.domain.submission import Door, Submission
from onestory.intake.handler import Handler, Published, Seen
from onestory.intake.headers import UNSTATED, Preferences
from onestory.shared.body import read_body
from onestory.shared.caller import Caller
from onestory.shared.errors import Unavailable
from onestory.shared.headers import idempotency_key
from onestory.shared.web import Route


class Api:
    """HTTP in and out."""

    def __init__(self, handler: Handler, door: Door, max_body_bytes: int) -> None:
        self._handler = handler
        self._door = door
        self._max_body_bytes = max_body_bytes
        self._answers = Answers(door.base_url)

    async def publish(self, request: Request, caller: Caller) -> Response:
        """Any of the routes: what is meant is in the method and the path."""
        arrival = self._arrival(request, caller)
        published = await self._handler.publish(
            await self._submission(request),
            arrival,
            headers.said(request.headers),
            headers.traceparent(request.headers),
        )
        of_bundle = bool(published.prepared.bundle_type)
        prefer = headers.preferences(request.headers) or (Preferences() if of_bundle else UNSTATED)
        return self._answers.to(published, arrival.received_at, prefer, await self._seen(published, prefer))

    async def _seen(self, published: Published, prefer: Preferences) -> Seen:
        if prefer.wait_s == 0 or not published.positions:
            return Seen()
        try:
            return await self._handler.seen(published, prefer.wait_s)
        except Unavailable:
            if prefer.stated:
                raise
            # Kafka has it, and nobody asked whether readers see it.
            return Seen()

    def _arrival(self, request: Request, caller: Caller) -> Arrival:
        return Arrival(
            door=self._door,
            organisation=caller.organisation,
            system=caller.system,
            received_at=datetime.now(UTC),
            submission_id=uuid7(),
            correlation_id=request.state.correlation_id,
            idempotency_key=idempotency_key(request.headers),
            role=caller.role,
        )

    async def _submission(self, request: Request) -> Submission:
        return Submission(
            method=request.method,
            body=b"" if request.method == "DELETE" else await read_body(request, self._max_body_bytes),
            resource_type=request.path_params.get("resource_type", ""),
            resource_id=request.path_params.get("id", ""),
            search=_search(request.url.query),
            if_none_exist=request.headers.get("If-None-Exist", ""),
            preconditions=headers.preconditions(request.headers),
        )


def _search(query: str) -> str:
    # How the answer is written has nothing to do with what is published.
    return "&".join(part for part in query.split("&") if part and not part.startswith(("_format=", "_pretty=")))


def routes(api: Api) -> list[Route]:
    """What the door offers. Conditional forms that it cannot keep have a route too: their refusal says why."""
    publish = api.publish
    return [
        Route("POST", "/fhir", publish, "transaction", "publish a Bundle", about=about.BUNDLE),
        Route("POST", "/fhir/{resource_type}", publish, "create", "publish one resource", about=about.CREATE),
        Route("PUT", "/fhir/{resource_type}", publish, "update", "publish one by its identifier", about=about.NAMED),
        Route("PUT", "/fhir/{resource_type}/{id}", publish, "update", "publish one by its id", about=about.UPDATE),
        Route("DELETE", "/fhir/{resource_type}", publish, "delete", "refused: say what to delete", about=about.REFUSED),
        Route("DELETE", "/fhir/{resource_type}/{id}", publish, "delete", "retract one resource", about=about.DELETE),
    ]
