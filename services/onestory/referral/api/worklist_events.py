"""`GET /worklists/.../events`: changes of a list as they come, as Server-Sent Events.

`open` says from where on. `changed` has the row as it is now; `gone` why it left. `reset`: read the list anew.
`late`: changes cannot be told at present, for so many seconds; 0 once they can. `closed` ends it, because the token or
the right to read has ended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import worklist_asking
from onestory.referral.api.worklists import INTERACTION, Finding
from onestory.referral.domain.touch import Touch
from onestory.referral.domain.worklist import Filters, Whose
from onestory.referral.feed import Feed, Listener
from onestory.referral.trace import Trace
from onestory.referral.worklists import Worklists
from onestory.shared.caller import Caller
from onestory.shared.errors import Forbidden, NotFound, Unavailable
from onestory.shared.event_stream import EventStream, event, heartbeat

_HEARTBEAT_S = 15.0
_LATE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Following:
    """Who follows what."""

    request: Request
    caller: Caller
    filters: Filters
    listener: Listener


class FollowList:
    """Streams one list. Whether it may be read is asked before each event, and at each heartbeat."""

    def __init__(self, finding: Finding, lists: Worklists, trace: Trace, feed: Feed) -> None:
        self._finding = finding
        self._lists = lists
        self._trace = trace
        self._feed = feed

    async def __call__(self, request: Request, caller: Caller) -> Response:
        filters = worklist_asking.filters(request)
        whose = await self._finding(request, caller)
        listener = self._feed.listen(whose, caller, request.headers.get("Last-Event-ID", ""))
        following = _Following(request, caller, filters, listener)
        return EventStream(self._events(following), partial(self._feed.leave, listener))

    async def _events(self, following: _Following) -> AsyncGenerator[bytes]:
        listener, expires_at, was_late = following.listener, following.caller.expires_at, False
        yield event("open", {}, listener.position)
        # Where it can be neither checked nor audited it ends: whoever comes back goes on from the last id.
        with suppress(Unavailable):
            while not self._feed.stopping:
                (changes, lost), position, before = listener.take(), self._feed.position, listener.whose
                if because := await self._over(following):
                    yield event("closed", because, listener.position)
                    return
                if lost or listener.whose.teams != before.teams:
                    yield event("reset", {}, listener.position)
                async for each in self._told(following, changes, before):
                    yield each
                is_late = (seconds := max(await self._lists.lateness(), self._feed.silent_s)) >= _LATE_S
                if is_late or was_late:
                    yield event("late", {"seconds": int(seconds) if is_late else 0}, listener.position)
                listener.position, was_late = position, is_late
                yield heartbeat(position)
                await listener.wait(min(_HEARTBEAT_S, expires_at - time.time()))

    async def _over(self, following: _Following) -> Mapping[str, str] | None:
        """Why the caller may not follow the list any longer, if so; else whose it is now is known."""
        if time.time() >= following.caller.expires_at:
            return {"reason": "token-expired", "diagnostics": "The token has expired: come back with a new one."}
        try:
            following.listener.whose = await self._finding(following.request, following.caller)
        except (Forbidden, NotFound) as error:
            return {"reason": "not-permitted", "diagnostics": error.issues[0].diagnostics}
        return None

    async def _told(self, following: _Following, changes: Collection[Touch], before: Whose) -> AsyncGenerator[bytes]:
        """Rows as they are now, then what is not on the list; once the persons of both have their trace."""
        if not changes:
            return
        listener, ids = following.listener, {each.referral_id for each in changes}
        rows = await self._lists.rows(listener.whose, following.filters, ids)
        shown = {each.referral_id for each in rows}
        # Of what never was on the list nothing is told.
        theirs = {each.referral_id for each in changes if each.concerns(before) or each.concerns(listener.whose)}
        gone = await self._lists.gone(listener.whose, following.filters, theirs - shown)
        correlation_id = following.request.state.correlation_id
        await self._trace.read(following.caller, shown | gone.keys(), INTERACTION, "Task", correlation_id)
        for row in await self._lists.written(rows, listener.whose):
            yield event("changed", row, listener.position)
        for referral_id, reason in gone.items():
            yield event("gone", {"referral": referral_id, "reason": reason}, listener.position)
