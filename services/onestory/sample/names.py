"""Names, streets and words for invented people: not only Latin letters, as in any English practice list."""

from __future__ import annotations

from typing import NamedTuple


class Names(NamedTuple):
    weight: int
    female: tuple[str, ...]
    male: tuple[str, ...]
    family: tuple[str, ...]


NAMES: tuple[Names, ...] = (
    Names(
        60,
        ("Margaret", "Dorothy", "Susan", "Patricia", "Emily", "Grace", "Olivia", "Jean", "Hazel", "Ruth"),
        ("George", "Arthur", "Thomas", "Alan", "Derek", "Oliver", "Harry", "Stanley", "Peter", "Leonard"),
        (
            "Ashdown",
            "Barrowby",
            "Carrick",
            "Dunmore",
            "Ellerby",
            "Fenwick",
            "Garside",
            "Hollis",
            "O'Hara",
            "St. John-Lee",
        ),
    ),
    Names(
        10,
        ("Siân", "Gwenllïan", "Angharad", "Mairwen", "Ffion"),
        ("Llŷr", "Gruffydd", "Siôn", "Emrys", "Iorwerth"),
        ("Ŵyn", "Prydderch", "ap Gwilym", "Llywelyn", "Môn"),
    ),
    Names(
        8,
        ("Małgorzata", "Zofia", "Agnieszka", "Bożena"),
        ("Łukasz", "Paweł", "Wojciech", "Zbigniew"),
        ("Wiśniewski", "Żółkiewski", "Dąbrowski", "Święch"),
    ),
    Names(8, ("فاطمة", "ليلى", "مريم"), ("محمد", "يوسف", "عبد الرحمن"), ("الزهراني", "حداد", "بن علي")),
    Names(6, ("秀英", "小燕", "丽华"), ("伟", "建国", "志強"), ("王", "欧阳", "𠮷田")),
    Names(
        8,
        ("Harpreet", "Priya", "Nasreen", "Shabnam"),
        ("Gurdeep", "Imran", "Rajesh", "Tariq"),
        ("Kaur", "Begum", "Chaudhry", "Patel"),
    ),
    # Decomposed on purpose: the letters carry combining marks, and must come back as they went in.
    Names(
        4,
        ("O\u0323la\u0301bi\u0301si\u0301", "Ngo\u0323zi", "Sine\u0301ad"),
        ("Ade\u0301wale\u0301", "Tu\u0323\u0301nde\u0301", "Se\u0301amus"),
        ("Ade\u0301ye\u0323mi\u0301", "O\u0301 Su\u0301illeabha\u0301in", "Nwo\u0323su"),
    ),
)

STREETS: tuple[str, ...] = (
    "Lantern Lane", "Quay Road", "Chapel Brow", "Mill Race", "Orchard Close", "Heol y Bont", "Weaver's Yard",
    "Moor End", "St Bride's Hill", "Ropewalk", "Tannery Court", "Gull Terrace",
)  # fmt: skip

TOWNS: tuple[str, ...] = ("Harbourton", "Upper Moor", "Weirbridge", "Dalesend")
POSTCODE_LETTERS = "ABDEFGHJLNPQRSTUWXYZ"
