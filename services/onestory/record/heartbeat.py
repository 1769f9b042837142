"""What a batch tells of its sources, kept beside what they said."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from onestory.record.domain.heard import heard, numbered
from onestory.record.domain.prepare import Prepared
from onestory.record.store import heard as store


def project_sources(transaction: psycopg.Connection, events: Sequence[Prepared]) -> None:
    """Note that the sources of these events were heard of, and the numbers of their statements."""
    store.hear(transaction, heard(events))
    store.number(transaction, numbered(events))
