"""A correction marks a whole referral as a mistake, such as the wrong person, and takes its content away. Pure.

The content may belong to another person: it must not stay on this one's record. It stays in the history of changes.
"""

from __future__ import annotations

from dataclasses import replace

from onestory.referral.lifecycle.model import Json, Referral, WrittenResource, message_local_id, task_local_id

# The elements of a ServiceRequest that say nothing about a person: the kind of request, and who made it when.
_KEPT_ELEMENTS = ("intent", "category", "requester", "authoredOn", "basedOn", "replaces", "requisition")
_REMOVED_FIELDS = {"Task": ("output", "statusReason"), "Communication": ("payload", "about")}


def without_content(referral: Referral) -> Referral:
    """The referral that was a mistake: without its story, outputs and appointment times. The reason of the correction
    stays.
    """
    kept = {name: value for name, value in referral.service_request.items() if name in _KEPT_ELEMENTS}
    return replace(referral, service_request=kept, outputs=())


def corrected_task(referral: Referral, number: int, shared_id: str, content: Json) -> WrittenResource:
    """The former Task with this number, as entered in error."""
    local_id = task_local_id(referral.local_id, number)
    return WrittenResource("Task", shared_id, local_id, _entered_in_error(content))


def corrected_message(referral: Referral, version: int, shared_id: str, content: Json) -> WrittenResource:
    """The message that made this version, as entered in error."""
    local_id = message_local_id(referral, version)
    return WrittenResource("Communication", shared_id, local_id, _entered_in_error(content))


def _entered_in_error(content: Json) -> Json:
    removed = ("resourceType", "id", "meta", *_REMOVED_FIELDS[content["resourceType"]])
    return {**{name: value for name, value in content.items() if name not in removed}, "status": "entered-in-error"}
