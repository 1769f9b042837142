"""The versions of a shared Patient: what it would have been composed to, whenever something was said of who it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from onestory.record.domain.search.dates import Span
from onestory.record.domain.search.person import Asked
from onestory.record.reading.reader import Access, Reader
from onestory.record.reading.view import View
from onestory.record.store import as_of
from onestory.shared.database import Database
from onestory.shared.fhir.bundle import Version
from onestory.shared.policy import Visibility

_MOST_MOMENTS = 500


async def past_patients(
    database: Database, reader: Reader, view: View, access: Access, asked: Asked, span: Span
) -> AsyncIterator[Version]:
    """The versions of the shared Patient that is asked for by number, latest first, each with when it came to be.

    `view` is what the caller sees now. Where the caller sees nothing of the person at a moment, the Patient was not
    there: that is a version without content. The beginning is no version.
    """
    own = None if view.decision.visibility is Visibility.ALL else access.caller.organisation
    keys = view.person.person_keys
    last: Version | None = None
    for moment in await as_of.moments(database, keys, own, span, _MOST_MOMENTS):
        found = await _at(reader, asked, access, moment)
        if last is not None and found.event_id != last.event_id:
            yield last
        last = found
    if last is not None and last.content is not None:
        yield last


async def _at(reader: Reader, asked: Asked, access: Access, moment: datetime) -> Version:
    view = await reader.view(asked, access, at=moment)
    composed = [patient for patient in view.patients if patient.shared_id == asked.number]
    return Version(composed[0].event_id, moment, composed[0].content) if composed else Version(None, moment, None)
