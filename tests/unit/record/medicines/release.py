"""Writes a small dm+d release in the structure of the published one. Its identifiers are of no real product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

RELEASE_DATE = "091126"
VTM = "10000001"
OLD_VTM = "10000000"
NEW_SUBSTANCE = "10000002"
VMP = "20000001"
OLD_VMP = "20000000"
OTHER_VMP = "20000002"
NEW_VMP = "20000003"
AMP = "30000001"
BRAND = "30000002"
NEW_AMP = "30000003"

VTMS = [
    {"VTMID": VTM, "NM": "Ramipril", "VTMIDPREV": OLD_VTM},
    {"VTMID": NEW_SUBSTANCE, "NM": "Newsubstance"},
]
VMPS = [
    {"VPID": VMP, "VPIDPREV": OLD_VMP, "VTMID": VTM, "NM": "Ramipril 5mg capsules", "PRES_STATCD": "0001"},
    {"VPID": OTHER_VMP, "VTMID": VTM, "NM": "Ramipril 10mg capsules", "PRES_STATCD": "0001"},
    {"VPID": NEW_VMP, "VTMID": NEW_SUBSTANCE, "NM": "Generic Newbrand", "PRES_STATCD": "0001"},
]
CONTENTS = [
    {"VPID": VMP, "ISID": "40000001", "STRNT_NMRTR_VAL": "5", "STRNT_NMRTR_UOMCD": "258684004"},
    {
        "VPID": NEW_VMP,
        "ISID": "40000002",
        "STRNT_NMRTR_VAL": "40",
        "STRNT_NMRTR_UOMCD": "258684004",
        "STRNT_DNMTR_VAL": "5",
        "STRNT_DNMTR_UOMCD": "258773002",
    },
]
AMPS = [
    {"APID": AMP, "VPID": VMP, "NM": "Ramipril 5mg capsules", "DESC": "Ramipril 5mg capsules (A Maker Ltd)"},
    {"APID": BRAND, "VPID": VMP, "NM": "Heartwell 5mg capsules"},
    {"APID": NEW_AMP, "VPID": NEW_VMP, "NM": "Newbrand 40mg/5ml oral solution"},
]
INGREDIENTS = [{"ISID": "40000001", "NM": "Ramipril"}, {"ISID": "40000002", "NM": "Newsubstance sodium"}]
VIRTUAL_PACK = "50000001"
BRAND_PACK = "50000002"
VMPPS = [{"VPPID": VIRTUAL_PACK, "NM": "Ramipril 5mg capsules 28 capsule", "VPID": VMP, "QTYVAL": "28"}]
AMPPS = [{"APPID": BRAND_PACK, "NM": "Heartwell 5mg capsules 28 capsule", "VPPID": VIRTUAL_PACK, "APID": BRAND}]
UNITS = [{"CD": "258684004", "DESC": "mg"}, {"CD": "258773002", "DESC": "ml"}]


def table(name: str, row: str, rows: Iterable[Mapping[str, str]]) -> str:
    """An element with a row for each mapping."""
    written = (f"<{row}>{''.join(f'<{key}>{value}</{key}>' for key, value in each.items())}</{row}>" for each in rows)
    return f"<{name}>{''.join(written)}</{name}>"


def release_files(**changed: str) -> dict[str, str]:
    """The files of a release by name. `changed`: the XML of a part (`vmp`) in place of the usual one."""
    forms = [{"VPID": VMP, "FORMCD": "1"}, {"VPID": NEW_VMP, "FORMCD": "2"}]
    routes = [{"VPID": VMP, "ROUTECD": "1"}, {"VPID": NEW_VMP, "ROUTECD": "1"}]
    vmp = [
        table("VMPS", "VMP", VMPS),
        table("VIRTUAL_PRODUCT_INGREDIENT", "VPI", CONTENTS),
        table("DRUG_FORM", "DFORM", forms),
        table("DRUG_ROUTE", "DROUTE", routes),
    ]
    lookup = [
        table("FORM", "INFO", [{"CD": "1", "DESC": "Capsule"}, {"CD": "2", "DESC": "Oral solution"}]),
        table("ROUTE", "INFO", [{"CD": "1", "DESC": "Oral"}]),
        table("UNIT_OF_MEASURE", "INFO", UNITS),
    ]
    parts = {
        "vtm": table("VIRTUAL_THERAPEUTIC_MOIETIES", "VTM", VTMS),
        "vmp": f"<VIRTUAL_MED_PRODUCTS>{''.join(vmp)}</VIRTUAL_MED_PRODUCTS>",
        "amp": f"<ACTUAL_MEDICINAL_PRODUCTS>{table('AMPS', 'AMP', AMPS)}</ACTUAL_MEDICINAL_PRODUCTS>",
        "vmpp": f"<VIRTUAL_MED_PRODUCT_PACK>{table('VMPPS', 'VMPP', VMPPS)}</VIRTUAL_MED_PRODUCT_PACK>",
        "ampp": f"<ACTUAL_MEDICINAL_PROD_PACKS>{table('AMPPS', 'AMPP', AMPPS)}</ACTUAL_MEDICINAL_PROD_PACKS>",
        "ingredient": table("INGREDIENT_SUBSTANCES", "ING", INGREDIENTS),
        "lookup": f"<LOOKUP>{''.join(lookup)}</LOOKUP>",
    }
    declaration = '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
    return {f"f_{part}2_3{RELEASE_DATE}.xml": declaration + xml for part, xml in (parts | changed).items()}


def write_release(folder: Path, **changed: str) -> Path:
    """Writes the files of a release into a folder."""
    folder.mkdir(exist_ok=True)
    for name, xml in release_files(**changed).items():
        (folder / name).write_text(xml)
    return folder
