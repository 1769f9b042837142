"""The referral API: its interactions in one list, and what they are built of."""

from __future__ import annotations

from functools import partial

from onestory.referral import clock_table
from onestory.referral.api import about
from onestory.referral.api.create import Create
from onestory.referral.api.operations import Operate
from onestory.referral.api.read import Read
from onestory.referral.domain.creation import task_id
from onestory.referral.domain.machine import Action
from onestory.referral.handler import Handler
from onestory.referral.trace import Trace
from onestory.shared.resources import Resources
from onestory.shared.web import Route


def referral_routes(resources: Resources) -> list[Route]:
    """What a caller with a token may ask."""
    settings = resources.settings
    clocks, fhir = clock_table.load(settings.referral_clocks), f"{settings.base_url.rstrip('/')}/fhir"
    handler = Handler(resources.database, resources.codec, resources.keys, clocks)
    trace = Trace(resources.audit)
    create = Create(handler, fhir, settings.max_body_bytes)
    reads = {kind: Read(kind, handler, trace, fhir) for kind in ("Task", "ServiceRequest")}
    task_ids = partial(task_id, resources.keys)
    return [
        Route("POST", "/fhir/ServiceRequest", create.__call__, "create", "refer somebody", about=about.CREATE),
        *[
            Route("GET", f"/fhir/{kind}/{{id}}", read.__call__, "read", f"a referral's {kind}", about=about.read(kind))
            for kind, read in reads.items()
        ],
        *[
            Route(
                "POST",
                f"/fhir/Task/{{id}}/${action}",
                Operate(action, handler, trace, clocks, task_ids, fhir, settings.max_body_bytes).__call__,
                f"${action}",
                about=about.operation(action),
            )
            for action in Action
        ],
    ]
