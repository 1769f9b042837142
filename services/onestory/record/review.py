"""Refuses to start a process that summarises records while its clinical data has not been reviewed.

The files of `schemas/merge` and `schemas/summary` decide what a clinician reads first, and what is shown as one fact.
"""

from __future__ import annotations

from collections.abc import Collection

from onestory.record.clinical_data import make_clinical_tables, unreviewed_files
from onestory.shared.errors import Misconfigured


def require_review(accepted: Collection[str]) -> None:
    """Raises `Misconfigured` if a file has no review, unless its name (`merge/allergens`) is one of the accepted.

    All clinical data is read then, so that a file with a fault stops the start too.
    """
    refused = [name for name in unreviewed_files() if name not in accepted]
    if refused:
        files = ", ".join(f"schemas/{name}.yaml" for name in refused)
        raise Misconfigured(
            f"No clinician has reviewed {files}. Have a named clinician review each file and set its `status` to "
            "`reviewed` and its `owner` to the clinician's name. To start without a review, accept the files by name: "
            f"ONESTORY_ACCEPT_UNREVIEWED={','.join(unreviewed_files())}"
        )
    make_clinical_tables()
