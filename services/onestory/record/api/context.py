"""What the interactions of the read API have in common."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from onestory.record.reading.reader import Access, Reader
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.identity import Keys
from onestory.shared.visibility import VisiblePositions


@dataclass(frozen=True, slots=True)
class Context:
    """`fhir` is the FHIR base URL, without a slash at its end."""

    reader: Reader
    database: Database
    keys: Keys
    visible: VisiblePositions
    fhir: str

    def access(self, request: Request, caller: Caller, interaction: str, resource_types: tuple[str, ...]) -> Access:
        """This request, as the audit trail tells it."""
        return Access(caller, interaction, resource_types, str(request.state.correlation_id))
