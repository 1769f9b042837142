"""`POST /fhir/Task/{id}/$letter` adds an outcome letter; `GET /worklists/.../letters` lists the outstanding ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.letters import LETTER, add_letters
from onestory.referral.lifecycle.model import ChangeContext, Referral, ReferralChange, Side
from onestory.referral.lifecycle.request import OperationParameters
from onestory.referral.lifecycle.store import BRIEF_COLUMNS, referral_from_row
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.api import ScopeLookup
from onestory.referral.worklist.domain import WorklistScope
from onestory.referral.worklist.service import Worklists
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.bodies import BodyReader
from onestory.shared.http.cursor import TimeCursor, parse_time_cursor
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database, Queries

PARAMETERS = ("count", "cursor")
_OUTSTANDING = """status = 'completed' and kind <> 'advice'
    and not (outputs @? '$[*].valueReference.reference ? (@ like_regex "DocumentReference/")')"""


class LetterOperation:
    """Carries out `$letter`. Answers the Task after the change, with its ETag."""

    def __init__(self, handler: ReferralHandler, audit: ReferralAudit, fhir: str, bodies: BodyReader) -> None:
        self._handler = handler
        self._audit = audit
        self._fhir = fhir
        self._bodies = bodies

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version, task_id = lifecycle_request.if_match(request), request.path_params["id"]
        body = await self._bodies.read(request, caller)
        command = lifecycle_request.command_request(request, caller, body)
        letters = [letter for _, letter in OperationParameters(body, (LETTER,)).repeated(LETTER, "Reference")]

        def decide(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            return add_letters(referral, letters, sides, context)

        async with self._audit.record_refusal(caller, task_id, f"${LETTER}", "Task", command.correlation_id):
            outcome = await self._handler.change(command, task_id, version, decide)
        await self._audit.record_outcome(caller, outcome, f"${LETTER}", command.correlation_id)
        headers = lifecycle_request.position_header(outcome)
        return lifecycle_request.resource_response(outcome.task, self._fhir, headers=headers)


class ReadLettersOutstanding:
    """Answers a page of completed referrals without a letter, the longest completed first.

    For a team they are those that it completed; for an organisation those that it sent.
    """

    def __init__(
        self, lookup: ScopeLookup, database: Database, lists: Worklists, audit: ReferralAudit, base_url: str
    ) -> None:
        self._lookup = lookup
        self._database = database
        self._lists = lists
        self._audit = audit
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        parameters = worklist_query.read_parameters(request, PARAMETERS)
        text, limit = parameters.pop("cursor", ""), worklist_query.read_page_size(parameters, "count")
        scope = await self._lookup(request, caller)
        cursor = parse_time_cursor(text) if text else None
        found = await outstanding(self._database, scope, cursor, limit + 1)
        page = found[:limit]
        ids = [referral.referral_id for referral in page]
        await self._audit.record_read(caller, ids, "letters", "Task", request.state.correlation_id)
        rows = [
            {**row, "completedAt": format_instant(referral.changed_at)}
            for row, referral in zip(await self._lists.rows_to_json(page, scope), page, strict=True)
        ]
        following = TimeCursor(datetime.now(UTC), page[-1].changed_at, page[-1].referral_id) if found[limit:] else None
        query = following and urlencode({**parameters, "cursor": following.encode()})
        answer = {"rows": rows, "next": f"{self._base_url}{request.url.path}?{query}" if query else None}
        return Response(orjson.dumps(answer), media_type="application/json")


async def outstanding(
    queries: Queries, scope: WorklistScope, after: TimeCursor | None, limit: int
) -> Sequence[Referral]:
    """Completed referrals without a letter after this item, the longest completed first."""
    column = "requester_organisation = $1" if scope.requester else "recipient_team = any($1::text[])"
    rows = await queries.fetch(
        f"""select {BRIEF_COLUMNS} from referral.referral
            where {_OUTSTANDING} and {column} and (changed_at, referral_id) > ($2, $3)
            order by changed_at, referral_id limit $4""",  # noqa: S608 - no value is inserted
        scope.requester or list(scope.teams),
        after.sort_time if after else datetime.min.replace(tzinfo=UTC),
        after.item_id if after else "",
        limit,
    )
    return [referral_from_row(row) for row in rows]
