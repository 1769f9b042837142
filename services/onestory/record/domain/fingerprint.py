"""Whether a message says the same as an earlier one with its event id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from onestory.shared.events import DirectoryChanged, Entry, RecordChanged


def fingerprint(
    event: RecordChanged | DirectoryChanged, contents: Sequence[bytes], beside: Sequence[str] = ()
) -> bytes:
    """SHA-256 over what the event says, without clocks: a repetition at another time is the same event.

    `contents` are the content digests of its entries, `beside` is what it says beside them.
    """
    digest = hashlib.sha256()
    for part in [*_about(event), *[said.encode() for said in beside]]:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    for entry, content in zip(_entries(event), contents, strict=True):
        digest.update(f"{entry.shared_id}{entry.operation}".encode())
        digest.update(content)
    return digest.digest()


def _entries(event: RecordChanged | DirectoryChanged) -> Sequence[Entry]:
    return event.entries if isinstance(event, RecordChanged) else (event.entry,)


def _about(event: RecordChanged | DirectoryChanged) -> list[bytes]:
    parts = [event.source.organisation, event.source.system, str(event.sequence)]
    if isinstance(event, RecordChanged):
        parts += [event.person.system, event.person.value, *sorted(event.complete_types)]
    return [part.encode() for part in parts]
