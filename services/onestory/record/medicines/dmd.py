"""The medicines of a dm+d release, if the deployment has loaded one: what each code names, and which were replaced.

dm+d is the NHS dictionary of medicines and devices: a VTM is a substance or a combination ("Ramipril"), a VMP a
product with strength and form ("Ramipril 5mg capsules"), an AMP the product of one supplier; VMPP and AMPP are their
packs. The command `onestory admin medicines load` writes the file, and `ONESTORY_DMD` names its folder. A process reads
it once.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from onestory.shared import settings
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import Code

FILE = "dmd.msgpack"
"""The name of the file in the folder that `ONESTORY_DMD` names."""
FORMAT = 2
SNOMED = "http://snomed.info/sct"
_LONGEST_ID = 18
_ITS_LOAD = "Load the release again: `onestory admin medicines load FOLDER|ZIP`."


class VirtualProduct(NamedTuple):
    """A VMP. `moiety`: the id of its VTM, 0 if it has none. `substances`: the names of its ingredients.

    `strengths`: kind, value and what it is in, as `names.Strength`. `form`: words of its form, then of its route.
    """

    name: str
    moiety: int
    substances: tuple[str, ...]
    strengths: tuple[tuple[str, float, str], ...]
    form: str


class Release(msgspec.Struct, frozen=True):
    """A release by identifier. `date` (ISO) is the one in the names of its files, "" if they have none.

    `moieties`: VTMs, with their names. `virtual`: VMPs. `actual`: AMPs, with the id of their VMP. `brands`: the brand
    of each AMP that has one. `previous`: identifiers that were replaced, with the present one.
    `packs`: VMPPs with their VMP, and AMPPs with their AMP.
    """

    format: int
    date: str
    files: tuple[str, ...]
    loaded_at: str
    moieties: dict[int, str]
    virtual: dict[int, VirtualProduct]
    actual: dict[int, int]
    brands: dict[int, str]
    previous: dict[int, int]
    packs: dict[int, int]

    def product(self, number: int) -> int:
        """The present identifier of a VTM or a product; for a pack, that of its product."""
        number = self.packs.get(number, number)
        return self.previous.get(number, number)


NO_RELEASE = Release(FORMAT, "", (), "", {}, {}, {}, {}, {}, {})


@cache
def loaded_release() -> Release:
    """The release that this process uses, read once. Raises `Misconfigured` if its file is missing or broken."""
    folder = settings.read().dmd
    return read_release(Path(folder)) if folder else NO_RELEASE


def read_release(folder: Path) -> Release:
    """Reads the release of a folder. Raises `Misconfigured` with the remedy if that cannot be done."""
    path = folder / FILE
    try:
        release = msgspec.msgpack.decode(path.read_bytes(), type=Release)
    except FileNotFoundError:
        raise Misconfigured(
            f"ONESTORY_DMD names {folder}, which has no {FILE}. Load a dm+d release there with `onestory admin "
            "medicines load FOLDER|ZIP`, or leave the setting empty."
        ) from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.MsgspecError as error:
        raise Misconfigured(f"{path} is broken, or another release of OneStory wrote it. {_ITS_LOAD}") from error
    if release.format != FORMAT:
        raise Misconfigured(f"{path} has format {release.format}, not {FORMAT}. {_ITS_LOAD}")
    return release


def identifier(code: str) -> int:
    """The number of a dm+d identifier; 0 if the code has not the form of one."""
    return int(code) if code.isascii() and code.isdigit() and len(code) <= _LONGEST_ID else 0


def dmd_name(code: str) -> str:
    """The name of a code of the loaded release; "" if unknown. An AMP has that of its VMP with its brand, a pack that
    of its product.
    """
    release = loaded_release()
    number = release.product(identifier(code))
    virtual = release.virtual.get(release.actual.get(number, number))
    name = release.moieties.get(number, virtual.name if virtual else "")
    moiety = release.moieties.get(virtual.moiety, "") if virtual else ""
    if moiety.casefold() not in name.casefold():
        name = f"{name} ({moiety})"
    brand = release.brands.get(number, "")
    return f"{name}, brand {brand}" if brand else name


def present_dmd_code(code: Code) -> Code:
    """The code that replaced this one in the loaded release; the code itself if none did."""
    replaced = loaded_release().previous
    present = replaced.get(identifier(code[1])) if replaced and code[0] == SNOMED else None
    return (code[0], str(present)) if present else code
