"""Which section an Observation or a report belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onestory.record.domain.summary.plain import codes
from onestory.record.domain.summary.reviewed import reviewed

ABOUT_ME = "about-me"
PREGNANCY = "pregnancy"
SOCIAL_HISTORY = "social-history"
VITAL_SIGN = "vital-signs"
RESULT = "result"
"""Of all kinds: whatever is none of the others."""
NOTHING = ""
"""Ordered or cancelled: there is no result."""

_NO_RESULT = ("cancelled", "registered")


def kind_of(content: Mapping[str, Any]) -> str:
    """One of the kinds."""
    if content.get("status") in _NO_RESULT:
        return NOTHING
    said = codes(content, "code")
    known = reviewed()
    if said & known.about_me:
        return ABOUT_ME
    if said & known.pregnancy:
        return PREGNANCY
    categories = {code for _, code in codes(content, "category")}
    if SOCIAL_HISTORY in categories or said & known.social_history:
        return SOCIAL_HISTORY
    return VITAL_SIGN if VITAL_SIGN in categories else RESULT
