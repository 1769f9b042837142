"""The referral API: its interactions in one list, and what they are built of."""

from __future__ import annotations

from functools import partial

from onestory.referral import clock_table
from onestory.referral.api import about, breaches, late_about, notices, worklist_about
from onestory.referral.api.claims import TAKES, Claim
from onestory.referral.api.convert import Convert
from onestory.referral.api.create import Create
from onestory.referral.api.message import Messages, Say
from onestory.referral.api.operations import Operate
from onestory.referral.api.read import Read
from onestory.referral.api.task_search import SearchTasks
from onestory.referral.api.teams import FindTeams
from onestory.referral.api.worklist_events import FollowList
from onestory.referral.api.worklists import ListTeams, ReadList, findings
from onestory.referral.bars.main import bars_routes
from onestory.referral.bars.work import Statements
from onestory.referral.breaches import Breaches
from onestory.referral.conversation import Conversation
from onestory.referral.conversion import Conversions
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.creation import task_id
from onestory.referral.domain.machine import Action
from onestory.referral.feed import Feed
from onestory.referral.handler import Handler
from onestory.referral.trace import Trace
from onestory.referral.worklists import Worklists
from onestory.shared.resources import Resources
from onestory.shared.web import Route


def referral_routes(resources: Resources, statements: Statements) -> list[Route]:
    """What a caller with a token may ask. `statements` says what a message states for the record."""
    settings = resources.settings
    clocks, fhir = clock_table.load(settings.referral_clocks), f"{settings.base_url.rstrip('/')}/fhir"
    handler = Handler(resources.database, resources.codec, resources.keys, clocks)
    trace = Trace(resources.audit)
    create = Create(handler, trace, fhir, settings.max_body_bytes)
    reads = {kind: Read(kind, handler, trace, fhir) for kind in ("Task", "ServiceRequest", "Communication")}
    task_ids = partial(task_id, resources.keys)
    teams = FindTeams(resources.database, fhir)
    return [
        Route("GET", "/fhir/HealthcareService", teams.__call__, "search-type", "find a team", about=about.TEAMS),
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
        *[
            Route(
                "POST",
                f"/fhir/Task/{{id}}/${action}",
                Claim(action, handler, trace, fhir, settings.max_body_bytes).__call__,
                f"${action}",
                about=about.change(action, takes),
            )
            for action, takes in TAKES.items()
        ],
        *bars_routes(resources, handler, trace, clocks, statements),
        *conversation_routes(resources, handler, trace, clocks, fhir),
        *worklist_routes(resources, trace),
    ]


def conversation_routes(resources: Resources, handler: Handler, trace: Trace, clocks: Clocks, fhir: str) -> list[Route]:
    """What the sides of a referral say to each other, and what becomes of advice."""
    most, database, keys = resources.settings.max_body_bytes, resources.database, resources.keys
    conversation = Conversation(handler, database, clocks, keys)
    say, messages = Say(conversation, trace, fhir, most), Messages(conversation, trace, fhir)
    convert = Convert(Conversions(handler, database, clocks, keys), trace, fhir, most)
    return [
        Route("POST", "/fhir/Task/{id}/$message", say.__call__, "$message", about=about.MESSAGE),
        Route("GET", "/fhir/Task/{id}/$messages", messages.__call__, "$messages", about=about.MESSAGES),
        Route("POST", "/fhir/Task/{id}/$convert", convert.__call__, "$convert", about=about.CONVERT),
    ]


def worklist_routes(resources: Resources, trace: Trace) -> list[Route]:
    """Lists of what is open."""
    base_url, lists = resources.settings.base_url.rstrip("/"), Worklists(resources.database)
    config = resources.settings
    feed = Feed(config.kafka, resources.codec, config.worklist_listeners, resources.stopping, config.topic_prefix)
    resources.beside.append(feed.running)
    found = findings(lists)
    teams, tasks = ListTeams(lists), SearchTasks(lists, trace, f"{base_url}/fhir")
    late = breaches.ReadBreaches(Breaches(resources.database, lists), trace, base_url)
    told = notices.ReadNotices(resources.database, lists, trace, base_url)
    return [
        Route("GET", breaches.PATH, late.__call__, "worklist", "what is late", about=late_about.BREACHES),
        Route("GET", notices.PATH, told.__call__, "notices", "what one was told", about=late_about.NOTICES),
        Route("GET", "/worklists/teams", teams.__call__, "worklists", "teams with lists", about=worklist_about.TEAMS),
        *[
            Route(
                "GET",
                path,
                ReadList(finding, lists, trace, base_url).__call__,
                "worklist",
                "what is open",
                about=worklist_about.page(path),
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
                about=worklist_about.events(path),
            )
            for path, finding in found.items()
        ],
        Route("GET", "/fhir/Task", tasks.__call__, "search-type", "a team's Tasks", about=worklist_about.TASKS),
    ]
