"""Which idempotency keys this process has published, and with what: a repetition is harmless, a mix-up is not."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from onestory.intake.domain.submission import Reception, Submission
from onestory.shared.errors import Unprocessable

_KEPT = 20_000


class Repeats:
    """Remembers the latest keys of each client. What it has forgotten, the projector still notices."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._published: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    def refuse_mix_up(self, submission: Submission, reception: Reception) -> None:
        """Raise `Unprocessable` when this client's key has been published with another content."""
        known = self._published.get(_client_key(reception))
        if known is not None and known != _digest(submission, reception):
            says = "This Idempotency-Key was used with another content: send a new key for new content."
            raise Unprocessable(says, code="duplicate")

    def remember(self, submission: Submission, reception: Reception) -> None:
        """Keep what has just been published, and forget the oldest when there are too many."""
        if not reception.idempotency_key:
            return
        self._published[_client_key(reception)] = _digest(submission, reception)
        self._published.move_to_end(_client_key(reception))
        if len(self._published) > self._kept:
            self._published.popitem(last=False)


def _client_key(reception: Reception) -> tuple[str, str, str]:
    return reception.source.organisation, reception.source.system, reception.idempotency_key


def _digest(submission: Submission, reception: Reception) -> bytes:
    address = (submission.method, submission.resource_type, submission.resource_id, submission.search)
    said = (submission.if_none_exist, str(reception.sequence), *sorted(reception.complete_types))
    digest = hashlib.sha256("\0".join((*address, *said, "")).encode())
    digest.update(submission.body)
    return digest.digest()
