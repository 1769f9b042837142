"""The referral API: its interactions in one list, and what they are built of."""

from __future__ import annotations

from functools import partial

from onestory.referral.audit import Trace
from onestory.referral.bars.main import bars_routes
from onestory.referral.bars.work import Statements
from onestory.referral.clocks import api as clocks_api
from onestory.referral.clocks import clock
from onestory.referral.clocks.api import Breaches
from onestory.referral.clocks.domain import Clocks
from onestory.referral.conversation.api import Convert, ReadMessages, Say
from onestory.referral.conversation.handler import Conversation, Conversions
from onestory.referral.directory.api import FindTeams
from onestory.referral.lifecycle import api as lifecycle_api
from onestory.referral.lifecycle.api import Create, Operate, ReadReferral
from onestory.referral.lifecycle.creation import task_id
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.machine import Action
from onestory.referral.notices import api as notices_api
from onestory.referral.worklist import descriptions
from onestory.referral.worklist.api import FollowList, ListTeams, ReadList, SearchTasks, findings
from onestory.referral.worklist.claims import TAKES, Claim
from onestory.referral.worklist.feed import Feed
from onestory.referral.worklist.service import Worklists
from onestory.shared.dependencies import Resources
from onestory.shared.http.app import Route


def referral_routes(resources: Resources, statements: Statements) -> list[Route]:
    """What a caller with a token may ask. `statements` says what a message states for the record."""
    settings = resources.settings
    clocks, fhir = clock.load(settings.referral_clocks), f"{settings.base_url.rstrip('/')}/fhir"
    handler = ReferralHandler(resources.database, resources.codec, resources.keys, clocks)
    trace = Trace(resources.audit)
    create = Create(handler, trace, fhir, settings.max_body_bytes)
    reads = {kind: ReadReferral(kind, handler, trace, fhir) for kind in ("Task", "ServiceRequest", "Communication")}
    task_ids = partial(task_id, resources.keys)
    teams = FindTeams(resources.database, fhir)
    return [
        Route(
            "GET", "/fhir/HealthcareService", teams.__call__, "search-type", "find a team", about=lifecycle_api.TEAMS
        ),
        Route("POST", "/fhir/ServiceRequest", create.__call__, "create", "refer somebody", about=lifecycle_api.CREATE),
        *[
            Route(
                "GET",
                f"/fhir/{kind}/{{id}}",
                read.__call__,
                "read",
                f"a referral's {kind}",
                about=lifecycle_api.read(kind),
            )
            for kind, read in reads.items()
        ],
        *[
            Route(
                "POST",
                f"/fhir/Task/{{id}}/${action}",
                Operate(action, handler, trace, clocks, task_ids, fhir, settings.max_body_bytes).__call__,
                f"${action}",
                about=lifecycle_api.operation(action),
            )
            for action in Action
        ],
        *[
            Route(
                "POST",
                f"/fhir/Task/{{id}}/${action}",
                Claim(action, handler, trace, fhir, settings.max_body_bytes).__call__,
                f"${action}",
                about=lifecycle_api.change(action, takes),
            )
            for action, takes in TAKES.items()
        ],
        *bars_routes(resources, handler, trace, clocks, statements),
        *conversation_routes(resources, handler, trace, clocks, fhir),
        *worklist_routes(resources, trace),
    ]


def conversation_routes(
    resources: Resources, handler: ReferralHandler, trace: Trace, clocks: Clocks, fhir: str
) -> list[Route]:
    """What the sides of a referral say to each other, and what becomes of advice."""
    most, database, keys = resources.settings.max_body_bytes, resources.database, resources.keys
    conversation = Conversation(handler, database, clocks, keys)
    say, messages = Say(conversation, trace, fhir, most), ReadMessages(conversation, trace, fhir)
    convert = Convert(Conversions(handler, database, clocks, keys), trace, fhir, most)
    return [
        Route("POST", "/fhir/Task/{id}/$message", say.__call__, "$message", about=lifecycle_api.MESSAGE),
        Route("GET", "/fhir/Task/{id}/$messages", messages.__call__, "$messages", about=lifecycle_api.MESSAGES),
        Route("POST", "/fhir/Task/{id}/$convert", convert.__call__, "$convert", about=lifecycle_api.CONVERT),
    ]


def worklist_routes(resources: Resources, trace: Trace) -> list[Route]:
    """Lists of what is open."""
    base_url, lists = resources.settings.base_url.rstrip("/"), Worklists(resources.database)
    feed = Feed(resources.settings.kafka, resources.codec, resources.settings.worklist_listeners, resources.stopping)
    resources.beside.append(feed.running)
    found = findings(lists)
    teams, tasks = ListTeams(lists), SearchTasks(lists, trace, f"{base_url}/fhir")
    late = clocks_api.ReadBreaches(Breaches(resources.database, lists), trace, base_url)
    told = notices_api.ReadNotices(resources.database, lists, trace, base_url)
    return [
        Route("GET", clocks_api.PATH, late.__call__, "worklist", "what is late", about=descriptions.BREACHES),
        Route("GET", notices_api.PATH, told.__call__, "notices", "what one was told", about=descriptions.NOTICES),
        Route("GET", "/worklists/teams", teams.__call__, "worklists", "teams with lists", about=descriptions.TEAMS),
        *[
            Route(
                "GET",
                path,
                ReadList(finding, lists, trace, base_url).__call__,
                "worklist",
                "what is open",
                about=descriptions.page(path),
            )
            for path, finding in found.items()
        ],
        *[
            Route(
                "GET",
                f"{path}/events",
                FollowList(finding, lists, trace, feed).__call__,
                "worklist-events",
                "what changes, as it changes",
                events=True,
                about=descriptions.events(path),
            )
            for path, finding in found.items()
        ],
        Route("GET", "/fhir/Task", tasks.__call__, "search-type", "a team's Tasks", about=descriptions.TASKS),
    ]
