"""Builds intake from the dependencies of the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from onestory.intake.api import IntakeApi, routes
from onestory.intake.conditions import ConditionalWrites
from onestory.intake.domain.request import Deployment
from onestory.intake.keys import IdempotencyKeys
from onestory.intake.lookups import MayRead, RecordCatchUp, SubmissionPreparer
from onestory.intake.preparation import EventMessages
from onestory.intake.publish import PublishHandler, RecordEventBuilder
from onestory.intake.validation import ValidateOperation, describe_validate
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import Route
from onestory.shared.kafka.ends import TopicEnd
from onestory.shared.kafka.schemas import RECORD_TOPIC, topics


def intake_routes(dependencies: Dependencies, may_read: MayRead) -> Sequence[Route]:
    """Return the HTTP routes of intake. `may_read` is the record's policy decision about a person."""
    deployment = _deployment(dependencies)
    database, visible, settings = dependencies.database, dependencies.visible_positions, dependencies.settings
    keys = IdempotencyKeys(database)
    dependencies.background.append(lambda: keys.forgetting(timedelta(days=settings.idempotency_key_days)))
    conditions = ConditionalWrites(database, visible, settings.publish_timeout_s)
    preparer = _preparer(dependencies, may_read)
    handler = PublishHandler(dependencies.producer, preparer, database, visible, keys, conditions)
    validation = ValidateOperation(settings.max_body_bytes, dependencies.workers).__call__
    paths = {"validate": "/fhir/{resource_type}/$validate", "validateOne": "/fhir/{resource_type}/{id}/$validate"}
    return [
        *routes(IntakeApi(handler, deployment, settings.max_body_bytes, dependencies.internal)),
        *[
            Route(
                "POST",
                path,
                validation,
                "$validate",
                "check a resource",
                publish_headers=True,
                description=describe_validate(name),
            )
            for name, path in paths.items()
        ],
    ]


def record_event_builder(dependencies: Dependencies, may_read: MayRead) -> RecordEventBuilder:
    """Return the builder with which another service makes a `RecordChanged` event that it publishes itself."""
    return RecordEventBuilder(_deployment(dependencies), dependencies.database, _preparer(dependencies, may_read))


def _preparer(dependencies: Dependencies, may_read: MayRead) -> SubmissionPreparer:
    settings = dependencies.settings
    end = TopicEnd(settings.kafka, RECORD_TOPIC, "onestory-serve-ends", settings.topic_prefix)
    dependencies.background.append(lambda: _closing(end))
    messages = EventMessages(dependencies.codec, dependencies.keys, topics())
    caught_up = RecordCatchUp(end, dependencies.visible_positions)
    return SubmissionPreparer(dependencies.database, may_read, caught_up, messages, dependencies.workers)


@asynccontextmanager
async def _closing(end: TopicEnd) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(end.close)


def _deployment(dependencies: Dependencies) -> Deployment:
    settings = dependencies.settings
    return Deployment(
        keys=dependencies.keys,
        base_url=f"{settings.base_url.rstrip('/')}/fhir",
        sequenced_sources=frozenset(settings.sequenced_sources),
        replaced_systems=settings.replaced_systems,
        max_bundle_entries=settings.max_bundle_entries,
    )
