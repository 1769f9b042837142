"""Doses are compared by what they mean, in words and in codes; what cannot be read is no difference."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case

from onestory.record.medicines.products import product_of
from onestory.record.medicines.regimen import DoseComparison, compare, read_regimen

SAME, DIFFERENT, UNKNOWN = DoseComparison.SAME, DoseComparison.DIFFERENT, DoseComparison.UNKNOWN


def compared(product: str, one: Any, other: Any) -> DoseComparison:
    """How two directions, each as words or as a coded dosage, compare for a product."""
    first, second = (read_regimen([{"text": each} if isinstance(each, str) else each]) for each in (one, other))
    return compare(first, second, product_of(product), product_of(product))


@pytest.mark.parametrize(
    ("product", "one", "other"),
    [
        ("Amlodipine 5mg tablets", "One To Be Taken Each Morning", "1 tablet(s) OM"),
        ("Amlodipine 5mg tablets", "ONE DAILY", "5mg Oral OD"),
        ("Amlodipine 5mg tablets", "One A Day", "5 mg every 24 hours"),
        ("Metformin 500mg tablets", "Two Twice A Day", "1g Oral BD"),
        ("Metformin 500mg tablets", "2 x 500mg tablets bd", "one gram twice daily"),
        ("Methotrexate 2.5mg tablets", "Four Tablets To Be Taken ONCE A WEEK On Monday", "10 mg once weekly"),
        ("Co-amoxiclav 500mg/125mg tablets", "1 tds", "625mg three times a day"),
        ("Salbutamol 100micrograms/dose inhaler", "Two Puffs When Required", "200microgram Inhaled QDS PRN"),
        ("Paracetamol 500mg tablets", "Two Every 4-6 Hours When Required; max 8 In 24 Hrs", "1 g QDS PRN"),
        ("Levothyroxine 100microgram tablets", "One Each Morning", "0.1 mg mane"),
        ("Lactulose 3.1-3.7g/5ml oral solution", "15ml bd", "three 5ml spoonfuls twice a day"),
        ("Atorvastatin 20mg tablets", "One At Night", "20mg Oral ON"),
        ("Fultium-D3 800unit capsules", "One Each Day", "800 units daily"),
        ("Gabapentin 300mg capsules", "i tds", "One capsule 3 times/day"),
        ("Furosemide 40mg tablets", "Half a tablet each morning", "20 mg OM"),
        ("Lansoprazole 15mg capsules", "one in the morning and one at night", "15mg BD"),
        ("Alendronic acid 70mg tablets", "One On The Same Day Each Week", "70mg weekly"),
        ("Fentanyl 25micrograms/hour patches", "Apply 1 patch every 72 hours", "One patch every three days"),
    ],
)
def test_the_same_dose_in_other_words_is_no_difference(product: str, one: str, other: str) -> None:
    assert compared(product, one, other) is SAME


@pytest.mark.parametrize(
    ("product", "one", "other"),
    [
        ("Methotrexate 2.5mg tablets", "Four Tablets ONCE A WEEK", "10 mg OD"),
        ("Warfarin 1mg tablets", "one daily", "3mg od"),
        ("Alendronic acid 70mg tablets", "one a week", "one a day"),
        ("Ramipril 5mg capsules", "One Each Day", "5mg BD"),
        ("Levothyroxine 100microgram tablets", "One Each Morning", "125 micrograms daily"),
        ("Digoxin 125microgram tablets", "one daily", "62.5 micrograms od"),
        ("Furosemide 40mg tablets", "One a day", "Two twice a day for 3 days then one a day"),
        ("Insulin glargine 100units/ml", "10 units at night", "14 units at night"),
        ("Methotrexate 2.5mg tablets", "10 mg weekly on Monday", "10 mg weekly on Thursday"),
        ("Prednisolone 5mg tablets", "1 daily, 2 on Mondays", "4 daily"),
    ],
)
def test_another_amount_or_another_frequency_is_a_difference(product: str, one: str, other: str) -> None:
    assert compared(product, one, other) is DIFFERENT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("As directed", "one daily"),
        ("Reducing by 5mg weekly", "20mg daily"),
        ("one in the morning", "one at night"),
        ("1-2 tds", "2 tds"),
        ("one a day", "one"),
        ("", "one a day"),
    ],
)
def test_what_cannot_be_read_or_is_stated_by_one_side_only_is_not_called_a_difference(one: str, other: str) -> None:
    assert compared("Prednisolone 20mg tablets", one, other) is UNKNOWN


def test_a_coded_dose_in_tablets_equals_words_in_milligrams() -> None:
    tablet: dict[str, Any] = {
        "text": "as directed",
        "timing": {"repeat": {"frequency": 1, "period": 12, "periodUnit": "h"}},
        "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "tablet"}}],
    }

    assert compared("Apixaban 2.5mg tablets", tablet, "5mg bd") is SAME
    assert compared("Apixaban 2.5mg tablets", tablet, "2.5mg bd") is DIFFERENT


@needs_clinical_cases
@pytest.mark.parametrize("number", ["14", "15"])
def test_other_words_for_one_dose_raise_no_alarm(number: str) -> None:
    medicines = shown_case(number)["Medicines"]

    assert "Sources disagree" not in medicines
    assert "DOSES DIFFER" not in medicines


@needs_clinical_cases
@pytest.mark.parametrize("number", ["13", "104"])
def test_once_a_day_against_once_a_week_and_steps_against_one_dose_are_conflicts(number: str) -> None:
    medicines = shown_case(number)["Medicines"]

    assert "The doses differ." in medicines or "DOSES DIFFER" in medicines
