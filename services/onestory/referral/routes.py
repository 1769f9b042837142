"""All routes of the referral service, and the objects that they need."""

from __future__ import annotations

from functools import partial

from onestory.referral.audit import ReferralAudit
from onestory.referral.bars.main import bars_routes
from onestory.referral.bars.work import BuildRecordEvent
from onestory.referral.clocks import api as clocks_api
from onestory.referral.clocks import clock
from onestory.referral.clocks.api import BreachList
from onestory.referral.clocks.domain import Clocks
from onestory.referral.conversation import api as conversation_api
from onestory.referral.conversation.api import ConvertAdvice, ReadMessages, SendMessage
from onestory.referral.conversation.handler import ConversationHandler, ConversionHandler
from onestory.referral.directory.api import SearchTeams
from onestory.referral.lifecycle import api as lifecycle_api
from onestory.referral.lifecycle.amendment import OPERATION_PARAMETERS as AMENDMENT_PARAMETERS
from onestory.referral.lifecycle.amendment_api import AmendmentOperation
from onestory.referral.lifecycle.api import CreateReferral, ReadReferral, TaskOperation
from onestory.referral.lifecycle.creation import task_id
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.letters import LETTER
from onestory.referral.lifecycle.model import Action
from onestory.referral.notices import api as notices_api
from onestory.referral.succession import api as succession_api
from onestory.referral.worklist import descriptions
from onestory.referral.worklist.api import FollowList, ListTeams, ReadList, SearchTasks, scope_lookups
from onestory.referral.worklist.claims import OPERATION_PARAMETERS, ClaimOperation
from onestory.referral.worklist.feed import WorklistFeed
from onestory.referral.worklist.letters import LetterOperation, ReadLettersOutstanding
from onestory.referral.worklist.service import Worklists
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import Route
from onestory.shared.http.bodies import BodyReader


def referral_routes(dependencies: Dependencies, statements: BuildRecordEvent) -> list[Route]:
    """All routes; each needs a token. `statements` builds the event with the statements that a BaRS message carries."""
    settings = dependencies.settings
    clocks, fhir = clock.load_clocks(settings.referral_clocks), f"{settings.base_url.rstrip('/')}/fhir"
    handler = ReferralHandler(dependencies.database, dependencies.codec, dependencies.keys, clocks)
    audit, bodies = ReferralAudit(dependencies.audit), body_reader(dependencies)
    create = CreateReferral(handler, audit, fhir, bodies)
    reads = {kind: ReadReferral(kind, handler, audit, fhir) for kind in ("Task", "ServiceRequest", "Communication")}
    task_ids = partial(task_id, dependencies.keys)
    teams = SearchTeams(dependencies.database, fhir)
    return [
        Route(
            "GET",
            "/fhir/HealthcareService",
            teams.__call__,
            "search-type",
            "find a team",
            description=lifecycle_api.TEAMS,
        ),
        Route(
            "POST",
            "/fhir/ServiceRequest",
            create.__call__,
            "create",
            "create a referral",
            description=lifecycle_api.CREATE,
        ),
        *[
            Route(
                "GET",
                f"/fhir/{kind}/{{id}}",
                read.__call__,
                "read",
                f"a referral's {kind}",
                description=lifecycle_api.describe_read(kind),
            )
            for kind, read in reads.items()
        ],
        *[
            Route(
                "POST",
                f"/fhir/Task/{{id}}/${action}",
                TaskOperation(action, handler, audit, clocks, task_ids, fhir, bodies).__call__,
                f"${action}",
                description=lifecycle_api.describe_action(action),
            )
            for action in Action
        ],
        *[
            Route(
                "POST",
                f"/fhir/Task/{{id}}/${action}",
                ClaimOperation(action, handler, audit, fhir, bodies).__call__,
                f"${action}",
                description=lifecycle_api.describe_task_operation(action, parameters),
            )
            for action, parameters in OPERATION_PARAMETERS.items()
        ],
        *[
            Route(
                "POST",
                f"/fhir/Task/{{id}}/${action}",
                AmendmentOperation(action, handler, audit, clocks, fhir, bodies).__call__,
                f"${action}",
                description=lifecycle_api.describe_task_operation(action, parameters),
            )
            for action, parameters in AMENDMENT_PARAMETERS.items()
        ],
        Route(
            "POST",
            f"/fhir/Task/{{id}}/${LETTER}",
            LetterOperation(handler, audit, fhir, bodies).__call__,
            f"${LETTER}",
            description=lifecycle_api.describe_task_operation(LETTER, (LETTER,)),
        ),
        *bars_routes(dependencies, handler, audit, clocks, statements),
        *conversation_routes(dependencies, handler, audit, clocks, fhir),
        *worklist_routes(dependencies, audit),
    ]


def body_reader(dependencies: Dependencies) -> BodyReader:
    """The reader of the bodies of referrals and of operations on them."""
    settings = dependencies.settings
    return BodyReader(dependencies.workers, settings.max_body_bytes, settings.max_message_values)


def conversation_routes(
    dependencies: Dependencies, handler: ReferralHandler, audit: ReferralAudit, clocks: Clocks, fhir: str
) -> list[Route]:
    """Routes of the conversation, and of the conversion of advice into a referral."""
    bodies, database, keys = body_reader(dependencies), dependencies.database, dependencies.keys
    conversation = ConversationHandler(handler, database, clocks, keys)
    send = SendMessage(conversation, audit, fhir, bodies)
    messages = ReadMessages(conversation, audit, fhir)
    convert = ConvertAdvice(ConversionHandler(handler, database, clocks, keys), audit, fhir, bodies)
    return [
        Route(
            "POST",
            "/fhir/Task/{id}/$message",
            send.__call__,
            "$message",
            description=conversation_api.MESSAGE_DESCRIPTION,
        ),
        Route(
            "GET",
            "/fhir/Task/{id}/$messages",
            messages.__call__,
            "$messages",
            description=conversation_api.MESSAGES_DESCRIPTION,
        ),
        Route(
            "POST",
            "/fhir/Task/{id}/$convert",
            convert.__call__,
            "$convert",
            description=conversation_api.CONVERT_DESCRIPTION,
        ),
    ]


def worklist_routes(dependencies: Dependencies, audit: ReferralAudit) -> list[Route]:
    """Routes of worklists, breaches and notices."""
    base_url, lists = dependencies.settings.base_url.rstrip("/"), Worklists(dependencies.database)
    config = dependencies.settings
    feed = WorklistFeed(
        config.kafka, dependencies.codec, config.worklist_listeners, dependencies.stopping, config.topic_prefix
    )
    dependencies.background.append(feed.running)
    lookups = scope_lookups(lists)
    teams, tasks = ListTeams(lists), SearchTasks(lists, audit, f"{base_url}/fhir")
    breaches = clocks_api.ReadBreaches(BreachList(dependencies.database, lists), audit, base_url)
    notices = notices_api.ReadNotices(dependencies.database, lists, audit, base_url)
    handovers = succession_api.ReadHandovers(dependencies.database, lists, audit, base_url)
    topology = succession_api.ReadTopology(dependencies.database)
    return [
        Route(
            "GET",
            succession_api.HANDOVERS_PATH,
            handovers.__call__,
            "handovers",
            "what successions brought",
            description=succession_api.HANDOVERS,
        ),
        Route(
            "GET",
            succession_api.TOPOLOGY_PATH,
            topology.__call__,
            "topology",
            "the directory at a date",
            description=succession_api.TOPOLOGY,
        ),
        Route(
            "GET",
            clocks_api.PATH,
            breaches.__call__,
            "worklist",
            "overdue referrals",
            description=descriptions.BREACHES,
        ),
        Route(
            "GET",
            notices_api.PATH,
            notices.__call__,
            "notices",
            "notices about referrals",
            description=descriptions.NOTICES,
        ),
        Route(
            "GET", "/worklists/teams", teams.__call__, "worklists", "teams with lists", description=descriptions.TEAMS
        ),
        *[
            Route(
                "GET",
                path,
                ReadList(find_scope, lists, audit, base_url).__call__,
                "worklist",
                "open referrals",
                description=descriptions.describe_list(path),
            )
            for path, find_scope in lookups.items()
        ],
        *[
            Route(
                "GET",
                f"{path}/events",
                FollowList(find_scope, lists, audit, feed).__call__,
                "worklist-events",
                "changes of open referrals, as they happen",
                event_stream=True,
                description=descriptions.describe_events(path),
            )
            for path, find_scope in lookups.items()
        ],
        *[
            Route(
                "GET",
                f"{path}/letters",
                ReadLettersOutstanding(find_scope, dependencies.database, lists, audit, base_url).__call__,
                "letters",
                "completed referrals without a letter",
                description=descriptions.describe_letters(path),
            )
            for path, find_scope in lookups.items()
        ],
        Route("GET", "/fhir/Task", tasks.__call__, "search-type", "a team's Tasks", description=descriptions.TASKS),
    ]
