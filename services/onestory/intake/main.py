"""The composition root of intake."""

from __future__ import annotations

from collections.abc import Sequence

from onestory.intake.api import Api, routes
from onestory.intake.domain.request import Door
from onestory.intake.publish import EventMessages, PublishHandler, Statements
from onestory.shared.dependencies import Resources
from onestory.shared.http.app import Route
from onestory.shared.kafka.schemas import topics


def intake_routes(resources: Resources) -> Sequence[Route]:
    """The door's routes on these resources."""
    door = _door(resources)
    messages = EventMessages(resources.codec, resources.keys, topics())
    handler = PublishHandler(resources.producer, messages, resources.database, resources.visible)
    return routes(Api(handler, door, resources.settings.max_body_bytes))


def intake_statements(resources: Resources) -> Statements:
    """How another room learns what a submission states."""
    return Statements(_door(resources), resources.database)


def _door(resources: Resources) -> Door:
    settings = resources.settings
    return Door(
        keys=resources.keys,
        base_url=f"{settings.base_url.rstrip('/')}/fhir",
        sequenced_sources=frozenset(settings.sequenced_sources),
    )
