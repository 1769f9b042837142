"""The record digest: two records with the same digest say the same (design section 6)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def record_digest(entries: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256, in hex, over (shared id, content digest) of visible current entries. No clocks, no offsets, no order."""
    digest = hashlib.sha256()
    for shared_id, content in sorted(entries):
        digest.update(f"{shared_id}:{content.hex()}\n".encode())
    return digest.hexdigest()
