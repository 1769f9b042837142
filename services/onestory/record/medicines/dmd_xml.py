"""Reads a dm+d release: the XML files that the NHS Business Services Authority publishes, in a folder or a ZIP.

The files are `f_vtm2_3DDMMYY.xml`, `f_vmp2_...`, `f_amp2_...`, `f_ingredient2_...` and `f_lookup2_...`, and if they are
there those of packs, `f_vmpp2_...` and `f_ampp2_...`. Others, such as prices, are not read. A row that names an
ingredient, a form or a route without a name loses only that.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from xml.parsers import expat

from onestory.record.medicines.dmd import FORMAT, Release, VirtualProduct, identifier
from onestory.record.medicines.names import strengths_of
from onestory.shared.errors import Misconfigured

PARTS = ("vtm", "ingredient", "lookup", "vmp", "amp")
PACKS = ("vmpp", "ampp")
"""Parts that a deployment may leave out. Pharmacy systems send codes of packs."""
_FILE = re.compile(r"f_(vtm|vmpp|vmp|ampp|amp|ingredient|lookup)\d?_\w*\.xml", re.IGNORECASE)
_DATE = re.compile(r"(\d{6})\.xml$", re.IGNORECASE)
_BLOCK = 1 << 16
_LARGEST_FILE = 2_000_000_000
_LONGEST_TEXT = 20_000
_BRAND = re.compile(r"\s+(?=\d)")
_UNITS = {"gram": "g", "million unit": "million units"}

Row = Mapping[str, str]
"""One row of a table of the release: its elements by name."""


def read_folder_or_zip(path: Path) -> Release:
    """Reads a release. Raises `Misconfigured` that names the file, the element and the remedy."""
    if path.is_dir():
        found = {str(each.relative_to(path)): each for each in sorted(path.rglob("*")) if each.is_file()}
        return _read_parts(_parts(list(found), path), lambda name: found[name].open("rb"))
    if not path.is_file():
        raise Misconfigured(f"{path} does not exist. Name the folder or the ZIP of a dm+d release.")
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {each.filename: each for each in archive.infolist() if not each.is_dir()}
            return _read_parts(_parts(list(inside), path), lambda name: archive.open(inside[name]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise Misconfigured(f"{path} is no ZIP that can be read ({error}). Download the release again.") from error


def _parts(names: list[str], path: Path) -> dict[str, str]:
    """The file of each part. Raises `Misconfigured` if one is missing or there are two."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if match := _FILE.fullmatch(Path(name).name):
            found[match[1].lower()].append(name)
    if missing := [part for part in PARTS if part not in found]:
        files = ", ".join(f"f_{part}2_….xml" for part in missing)
        raise Misconfigured(f"{path} has no {files}. Name the folder or the ZIP of a whole dm+d release.")
    for part, files_of_part in found.items():
        if len(files_of_part) > 1:
            raise Misconfigured(
                f"{path} has several files of {part}: {', '.join(sorted(files_of_part))}. Leave those of one release."
            )
    return {part: found[part][0] for part in (*PARTS, *PACKS) if part in found}


def _read_parts(files: Mapping[str, str], open_file: Callable[[str], IO[bytes]]) -> Release:
    tables = _Tables()
    for part in files:
        with open_file(files[part]) as stream:
            _read_file(files[part], stream, tables.rows_of(part))
    return tables.release(_release_date(files), tuple(files.values()))


def _release_date(files: Mapping[str, str]) -> str:
    """The date in the names of the files. Raises `Misconfigured` if they have several: parts of two releases."""
    dates = {found[1] for name in files.values() if (found := _DATE.search(name))}
    if len(dates) > 1:
        raise Misconfigured(
            f"The files are of several releases: {', '.join(sorted(files.values()))}. Take all of them from one."
        )
    try:
        return datetime.strptime(dates.pop(), "%d%m%y").replace(tzinfo=UTC).date().isoformat() if dates else ""
    except ValueError:
        return ""


def _read_file(name: str, stream: IO[bytes], rows: Mapping[str, Callable[[Row, str], None]]) -> None:
    """Calls the function of each row with the row and the element around it. It keeps no more than one row."""
    parser = expat.ParserCreate()
    path: list[str] = []
    row: dict[str, str] = {}
    words: list[str] = []
    counts = dict.fromkeys(rows, 0)

    def start(tag: str, _attributes: object) -> None:
        path.append(tag)
        words.clear()
        if tag in rows:
            row.clear()

    def end(tag: str) -> None:
        path.pop()
        if tag in rows:
            counts[tag] += 1
            try:
                rows[tag](row, path[-1] if path else "")
            except KeyError as error:
                raise _fault(name, parser.CurrentLineNumber, f"{tag} has no {error.args[0]}") from None
        elif path and path[-1] in rows:
            row[tag] = "".join(words).strip()
        words.clear()

    def characters(data: str) -> None:
        words.append(data)
        if sum(map(len, words)) > _LONGEST_TEXT:
            raise _fault(name, parser.CurrentLineNumber, f"{path[-1]} is longer than {_LONGEST_TEXT} letters")

    def refuse(*_declaration: object) -> None:
        raise _fault(name, parser.CurrentLineNumber, "it declares a document type or entities, as no release does")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    size = 0
    try:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > _LARGEST_FILE:
                raise _fault(name, parser.CurrentLineNumber, f"it is larger than {_LARGEST_FILE:,} bytes")
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise _fault(name, error.lineno, f"the XML is broken ({expat.errors.messages[error.code]})") from error
    if absent := [tag for tag, count in counts.items() if not count]:
        raise _fault(name, 1, f"it has no {' and no '.join(absent)}")


def _fault(name: str, line: int, what: str) -> Misconfigured:
    return Misconfigured(
        f"{name}, line {line}: {what}. Download the release again; if the fault stays, its structure is not the one "
        "that this version reads (dm+d XML schemas 2.3)."
    )


class _Tables:
    """The rows of the files, as they are read."""

    def __init__(self) -> None:
        self._moieties: dict[int, str] = {}
        self._substances: dict[str, str] = {}
        self._described: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._products: dict[int, tuple[str, int]] = {}
        self._contents: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._forms: defaultdict[str, list[str]] = defaultdict(list)
        self._routes: defaultdict[str, list[str]] = defaultdict(list)
        self._actual: dict[int, int] = {}
        self._brands: dict[int, str] = {}
        self._previous: defaultdict[int, set[int]] = defaultdict(set)
        self._packs: dict[int, int] = {}

    def rows_of(self, part: str) -> Mapping[str, Callable[[Row, str], None]]:
        """The function that takes each row of a part, by the element of the row."""
        tables: dict[str, Mapping[str, Callable[[Row, str], None]]] = {
            "vtm": {"VTM": self._vtm},
            "ingredient": {"ING": self._ingredient},
            "lookup": {"INFO": self._info},
            "vmp": {"VMP": self._vmp, "VPI": self._vpi, "DFORM": self._form, "DROUTE": self._route},
            "amp": {"AMP": self._amp},
            "vmpp": {"VMPP": self._virtual_pack},
            "ampp": {"AMPP": self._actual_pack},
        }
        return tables[part]

    def _vtm(self, row: Row, _around: str) -> None:
        self._moieties[_id(row, "VTMID")] = row["NM"]
        self._replaces(row, "VTMID", "VTMIDPREV")

    def _ingredient(self, row: Row, _around: str) -> None:
        self._substances[row["ISID"]] = row["NM"]

    def _info(self, row: Row, around: str) -> None:
        if around in ("FORM", "ROUTE", "UNIT_OF_MEASURE"):
            self._described[around][row["CD"]] = row["DESC"]

    def _vmp(self, row: Row, _around: str) -> None:
        self._products[_id(row, "VPID")] = row["NM"], identifier(row.get("VTMID", ""))
        self._replaces(row, "VPID", "VPIDPREV")

    def _vpi(self, row: Row, _around: str) -> None:
        self._contents[row["VPID"]].append((self._substances.get(row["ISID"], ""), self._strength(row)))

    def _strength(self, row: Row) -> str:
        """The strength in the words of a name: `5mg`, `100mg/5ml`; "" if none is stated."""
        units = self._described["UNIT_OF_MEASURE"]

        def measured(value: str, unit: str) -> str:
            words = units.get(row.get(unit, ""), "").casefold()
            return f"{row.get(value, '')}{_UNITS.get(words, words)}"

        strength = measured("STRNT_NMRTR_VAL", "STRNT_NMRTR_UOMCD")
        within = measured("STRNT_DNMTR_VAL", "STRNT_DNMTR_UOMCD")
        return f"{strength}/{within}" if strength and within else strength

    def _form(self, row: Row, _around: str) -> None:
        self._forms[row["VPID"]].append(self._described["FORM"].get(row["FORMCD"], ""))

    def _route(self, row: Row, _around: str) -> None:
        self._routes[row["VPID"]].append(self._described["ROUTE"].get(row["ROUTECD"], ""))

    def _amp(self, row: Row, _around: str) -> None:
        actual, virtual = _id(row, "APID"), _id(row, "VPID")
        self._actual[actual] = virtual
        if brand := self._brand(row["NM"], virtual):
            self._brands[actual] = brand

    def _virtual_pack(self, row: Row, _around: str) -> None:
        self._packs[_id(row, "VPPID")] = _id(row, "VPID")

    def _actual_pack(self, row: Row, _around: str) -> None:
        self._packs[_id(row, "APPID")] = _id(row, "APID")

    def _brand(self, name: str, virtual: int) -> str:
        """The words before the first number in the name of an AMP, unless they name what the VMP or its VTM names."""
        generic, moiety = self._products.get(virtual, ("", 0))
        brand = _BRAND.split(name, maxsplit=1)[0]
        names = (_BRAND.split(generic.casefold(), maxsplit=1)[0], self._moieties.get(moiety, "").casefold())
        return "" if any(each and each in brand.casefold() for each in names) else brand

    def _replaces(self, row: Row, own: str, before: str) -> None:
        if previous := identifier(row.get(before, "")):
            self._previous[previous].add(_id(row, own))

    def release(self, date: str, files: tuple[str, ...]) -> Release:
        """All tables as a release. Raises `Misconfigured` if most products refer to something that is not there."""
        actual = {each: virtual for each, virtual in self._actual.items() if virtual in self._products}
        if len(actual) * 2 < len(self._actual):
            raise Misconfigured(
                f"{len(self._actual) - len(actual):,} of {len(self._actual):,} AMPs name a VMP that the release lacks. "
                "The files are not of one release: download it again."
            )
        virtual = {each: self._virtual(each, *found) for each, found in self._products.items()}
        brands = {each: brand for each, brand in self._brands.items() if each in actual}
        packs = {pack: product for pack, product in self._packs.items() if product in virtual or product in actual}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Release(FORMAT, date, files, now, self._moieties, virtual, actual, brands, self._present(), packs)

    def _virtual(self, number: int, name: str, moiety: int) -> VirtualProduct:
        own = str(number)
        contents = self._contents.get(own, [])
        strengths = tuple(
            (each.kind, each.value, each.per) for _name, strength in contents for each in strengths_of(strength)
        )
        return VirtualProduct(
            name,
            moiety if moiety in self._moieties else 0,
            tuple(sorted({substance for substance, _strength in contents if substance})),
            strengths if len(strengths) == len(contents) else (),
            " ".join(filter(None, [*self._forms.get(own, ()), *self._routes.get(own, ())])),
        )

    def _present(self) -> dict[int, int]:
        """Replaced identifiers, without those that are still in use or that several products name as their previous."""
        present = {
            old: next(iter(new))
            for old, new in self._previous.items()
            if len(new) == 1 and old not in self._products and old not in self._moieties
        }
        return {old: new for old, new in present.items() if old != new}


def _id(row: Row, element: str) -> int:
    """The identifier in a row. Raises `KeyError` with the name of the element if it is none."""
    number = identifier(row[element])
    if not number:
        raise KeyError(f"{element} that is an identifier")
    return number
