"""Builds intake from the dependencies of the process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from onestory.intake.api import IntakeApi, routes
from onestory.intake.conditions import ConditionalWrites
from onestory.intake.domain.request import Deployment
from onestory.intake.keys import IdempotencyKeys
from onestory.intake.publish import EventMessages, PublishHandler, RecordEventBuilder
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import Route
from onestory.shared.kafka.schemas import topics


def intake_routes(dependencies: Dependencies) -> Sequence[Route]:
    """Return the HTTP routes of intake."""
    deployment = _deployment(dependencies)
    messages = EventMessages(dependencies.codec, dependencies.keys, topics())
    database, visible, settings = dependencies.database, dependencies.visible_positions, dependencies.settings
    keys = IdempotencyKeys(database)
    dependencies.background.append(lambda: keys.forgetting(timedelta(days=settings.idempotency_key_days)))
    conditions = ConditionalWrites(database, visible, settings.publish_timeout_s)
    handler = PublishHandler(dependencies.producer, messages, database, visible, keys, conditions)
    return routes(IntakeApi(handler, deployment, settings.max_body_bytes))


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
