"""A change of a referral that tells its parties what became of the person. It ends nothing: people decide that."""

from __future__ import annotations

from dataclasses import replace

from onestory.referral.domain.command import Changed, Doing
from onestory.referral.domain.decide import finish
from onestory.referral.domain.notices import notices
from onestory.referral.domain.person import News
from onestory.referral.domain.referral import Referral


def tell(referral: Referral, doing: Doing, news: News, practice: str) -> Changed | None:
    """The change; None where the referral has ended since. The reason of a move is where the person is registered now.

    Everybody is told, the holder too: it was nobody's own doing.
    """
    if not referral.is_open:
        return None
    after = replace(referral, version=referral.version + 1)
    changed = finish(referral, after, news, doing)
    return replace(changed, reason=practice, notices=notices(news, referral, after, None))
