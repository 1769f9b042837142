"""Builds intake from the dependencies of the process."""

from __future__ import annotations

from collections.abc import Sequence

from onestory.intake.api import IntakeApi, routes
from onestory.intake.domain.request import Deployment
from onestory.intake.publish import EventMessages, PublishHandler, RecordEventBuilder
from onestory.intake.validation import ValidateOperation, describe_validate
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import Route
from onestory.shared.kafka.schemas import topics


def intake_routes(dependencies: Dependencies) -> Sequence[Route]:
    """Return the HTTP routes of intake."""
    deployment = _deployment(dependencies)
    messages = EventMessages(dependencies.codec, dependencies.keys, topics())
    handler = PublishHandler(dependencies.producer, messages, dependencies.database, dependencies.visible_positions)
    max_body_bytes = dependencies.settings.max_body_bytes
    validation = ValidateOperation(max_body_bytes).__call__
    paths = {"validate": "/fhir/{resource_type}/$validate", "validateOne": "/fhir/{resource_type}/{id}/$validate"}
    return [
        *routes(IntakeApi(handler, deployment, max_body_bytes, dependencies.internal)),
        *[
            Route("POST", path, validation, "$validate", "check a resource", description=describe_validate(name))
            for name, path in paths.items()
        ],
    ]


def record_event_builder(dependencies: Dependencies) -> RecordEventBuilder:
    """Return the builder with which another service makes a `RecordChanged` event that it publishes itself."""
    return RecordEventBuilder(_deployment(dependencies), dependencies.database)


def _deployment(dependencies: Dependencies) -> Deployment:
    settings = dependencies.settings
    return Deployment(
        keys=dependencies.keys,
        base_url=f"{settings.base_url.rstrip('/')}/fhir",
        sequenced_sources=frozenset(settings.sequenced_sources),
    )
