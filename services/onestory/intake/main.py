"""Builds intake from the dependencies of the process."""

from __future__ import annotations

from collections.abc import Sequence

from onestory.intake.api import IntakeApi, routes
from onestory.intake.domain.request import Deployment
from onestory.intake.preparation import EventMessages
from onestory.intake.publish import PublishHandler, RecordEventBuilder
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import Route
from onestory.shared.kafka.schemas import topics


def intake_routes(dependencies: Dependencies) -> Sequence[Route]:
    """Return the HTTP routes of intake."""
    deployment = _deployment(dependencies)
    handler = PublishHandler(
        dependencies.producer,
        _messages(dependencies),
        dependencies.workers,
        dependencies.database,
        dependencies.visible_positions,
    )
    return routes(IntakeApi(handler, deployment, dependencies.settings.max_body_bytes))


def record_event_builder(dependencies: Dependencies) -> RecordEventBuilder:
    """Return the builder with which another service makes a `RecordChanged` event that it publishes itself."""
    return RecordEventBuilder(
        _deployment(dependencies), _messages(dependencies), dependencies.workers, dependencies.database
    )


def _messages(dependencies: Dependencies) -> EventMessages:
    return EventMessages(dependencies.codec, dependencies.keys, topics())


def _deployment(dependencies: Dependencies) -> Deployment:
    settings = dependencies.settings
    return Deployment(
        keys=dependencies.keys,
        base_url=f"{settings.base_url.rstrip('/')}/fhir",
        sequenced_sources=frozenset(settings.sequenced_sources),
        max_bundle_entries=settings.max_bundle_entries,
    )
