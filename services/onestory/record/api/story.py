"""`GET ServiceRequest/[id]/$story`, or of its Task: what was known of the person when it was sent, and what is now.

The operation is `schemas/fhir/OperationDefinition-servicerequest-story.json`.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.context import Context
from onestory.record.api.operation import Begun, Operation
from onestory.record.domain.merge_changes import changes
from onestory.record.domain.merged_view import changes_view
from onestory.record.domain.search.question import IN_READ
from onestory.record.domain.story_view import AsSent, story_parameters
from onestory.record.reading.reader import absent
from onestory.record.reading.summaries import Summaries, Whom, whom
from onestory.record.reading.view import View
from onestory.record.store import referrals
from onestory.record.store.referrals import Sending
from onestory.shared.caller import Caller
from onestory.shared.policy import Visibility


class AskStory:
    """The operation, for whoever sees the referral in the person's record: of that record, what they see."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._context = context
        self._operation = Operation(context, "$story", IN_READ)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, context = await self._operation.begin(request, caller), self._context
        view = begun.view
        if view.decision.visibility is Visibility.NONE:
            return await context.reader.show(view, begun.access, Response)
        found = await referrals.sending(context.database, begun.asked.person_key, begun.asked_id)
        if found is None or not any(entry.shared_id == found.referral_id for entry in view.entries):
            return await context.reader.show(view, begun.access, _refuse)
        now = await self._summaries.current(view, _whom(begun, view), caller.organisation)
        as_sent = await self._as_sent(begun, found)
        story = story_parameters(found.referral_id, now.document, as_sent)
        return await context.reader.show(view, begun.access, lambda: answers.body(story))

    async def _as_sent(self, begun: Begun, found: Sending) -> AsSent | None:
        if found.sent_at is None or found.broker_time is None:
            return None
        then = await self._context.reader.view(begun.asked, begun.access, at=found.broker_time)
        document = await self._summaries.at(then, _whom(begun, then), found.broker_time)
        before, facts = await self._summaries.facts(then), await self._summaries.facts(begun.view)
        changed = changes_view(changes(before.merged, facts.merged), facts.merged, facts.contents)
        return AsSent(found.sent_at, found.broker_time, document.document, changed)


def _whom(begun: Begun, view: View) -> Whom:
    """The Patient of the number that the referral stands under, where it stands under one."""
    key = begun.asked.person_key
    return whom(view, view.person.numbers.get(key, key))


def _refuse() -> Response:
    raise absent()
