"""What a coded value is."""

from __future__ import annotations

from typing import NamedTuple

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"


class Code(NamedTuple):
    """A code with its preferred term in the UK edition. dm+d codes are SNOMED CT codes too."""

    code: str
    display: str
    system: str = SNOMED
