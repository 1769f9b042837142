"""How much a referral may carry: each change of it writes it anew, and Kafka takes no message without a limit."""

from __future__ import annotations

import orjson

from onestory.referral.domain.referral import Referral
from onestory.shared.errors import TooLarge

# Together they have to fit into one message, the outputs twice: a redirection writes the former Task too.
_MOST = {"service_request": 4_000_000, "outputs": 4_000_000}
_LONGEST_REASON = 100_000


def refuse_too_large(before: Referral | None, after: Referral) -> None:
    """Raise `TooLarge` where a referral grows beyond what can be told of it. What adds nothing is always possible."""
    for name, most in _MOST.items():
        said = getattr(after, name)
        if (before is None or said is not getattr(before, name)) and len(orjson.dumps(said)) > most:
            raise TooLarge(
                "This is more than travels with a referral: publish documents as DocumentReference, and refer to them.",
                expression="Task.output" if name == "outputs" else "ServiceRequest",
            )
    if after.reason and len(orjson.dumps(after.reason.concept)) > _LONGEST_REASON:
        raise TooLarge("Give a shorter reason, and send the rest as a message.", expression="Task.statusReason")
