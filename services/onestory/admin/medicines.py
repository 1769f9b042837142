"""`onestory admin medicines`: loads a dm+d release for the comparison of medicines, and shows the loaded one."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from onestory.record.medicines.dmd import FILE, Release, identifier, read_release
from onestory.record.medicines.dmd_xml import read_folder_or_zip
from onestory.shared.display import printable_text
from onestory.shared.errors import Misconfigured, NotFound
from onestory.shared.settings import Settings

TASK = "medicines"


def add_task(tasks: Any) -> None:
    """`medicines load` and `medicines show`."""
    medicines = tasks.add_parser(TASK, help="load a dm+d release, by which medicines are compared; show the loaded one")
    actions = medicines.add_subparsers(dest="action", metavar="load|show", required=True)
    load = actions.add_parser("load", help="read a dm+d release and write it to the folder that ONESTORY_DMD names")
    load.add_argument("release", metavar="FOLDER|ZIP", type=Path, help="the release's XML files, as they are published")
    show = actions.add_parser("show", help="show the release in the folder that ONESTORY_DMD names")
    show.add_argument("code", metavar="CODE", nargs="?", help="what this VTM, VMP or AMP is in the release")


def run(arguments: argparse.Namespace, config: Settings) -> int:
    """Load or show. Raises errors that `main` prints as one sentence, with exit code 1."""
    if not config.dmd:
        raise Misconfigured("ONESTORY_DMD is not set. Name the folder of the dm+d release that processes read.")
    folder = Path(config.dmd)
    if arguments.action == "load":
        release = read_folder_or_zip(arguments.release)
        _write(folder, release)
        print(f"{_counts(release)}\nwritten to {folder / FILE}. Start `serve` and `summarise` again to use it.")
    elif arguments.code:
        print(printable_text(_described(read_release(folder), arguments.code)))
    else:
        print(_counts(read_release(folder)))
    return 0


def _write(folder: Path, release: Release) -> None:
    """Write the release under another name and rename it, so that a process reads the old one or the new one."""
    written = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{FILE}.", delete=False) as file:
            written = file.name
            file.write(msgspec.msgpack.encode(release))
            file.flush()
            os.fsync(file.fileno())
        Path(written).chmod(0o644)
        Path(written).replace(folder / FILE)
    except OSError as error:
        if written:
            Path(written).unlink(missing_ok=True)
        raise Misconfigured(f"{folder} cannot be written: {error.strerror}. The release there is unchanged.") from error


def _counts(release: Release) -> str:
    dated = f"of {release.date}, by the names of its files" if release.date else "without a date in its file names"
    return (
        f"dm+d release {dated}; loaded {release.loaded_at}\n"
        f"{len(release.moieties):,} VTMs, {len(release.virtual):,} VMPs, {len(release.actual):,} AMPs, "
        f"{len(release.packs):,} packs, "
        f"{len(release.previous):,} replaced identifiers\nfrom {', '.join(map(printable_text, release.files))}"
    )


def _described(release: Release, code: str) -> str:
    number = identifier(code)
    present = release.product(number)
    replaced = (
        "" if present == number else f"pack of {present}: " if number in release.packs else f"replaced by {present}: "
    )
    if moiety := release.moieties.get(present):
        return f"{replaced}VTM {moiety}"
    virtual = release.actual.get(present, present)
    if virtual not in release.virtual:
        raise NotFound(f"The release has no VTM, VMP, AMP or pack {code}.")
    product = release.virtual[virtual]
    kind = f"AMP of VMP {virtual}" if present in release.actual else "VMP"
    of = f", VTM {release.moieties[product.moiety]}" if product.moiety else ""
    return f"{replaced}{kind} {product.name}{of}; {', '.join(product.substances)}; {product.form}"
