"""Measurements, findings, plans and services: SNOMED CT and LOINC, with UCUM units."""

from __future__ import annotations

from typing import NamedTuple

from onestory.sample.codes.code import LOINC, Code

BLOOD_PRESSURE = Code("75367002", "Blood pressure")
SYSTOLIC = Code("72313002", "Systolic arterial pressure")
DIASTOLIC = Code("1091811000000102", "Diastolic arterial pressure")
NEVER_SMOKED = Code("266919005", "Never smoked tobacco")
EX_SMOKER = Code("8517006", "Ex-smoker")
FULL_BLOOD_COUNT = Code("26604007", "Full blood count")
RENAL_PANEL = Code("252167001", "Urea and electrolytes")


class Measure(NamedTuple):
    """Something measured: its unit (UCUM), and the range of usual values with the decimals a laboratory prints."""

    code: Code
    unit: str
    ucum: str
    low: float
    high: float
    decimals: int


WEIGHT = Measure(Code("27113001", "Body weight"), "kg", "kg", 48, 96, 1)
HEART_RATE = Measure(Code("364075005", "Heart rate"), "beats/min", "/min", 56, 98, 0)
RESPIRATORY_RATE = Measure(Code("86290005", "Respiratory rate"), "breaths/min", "/min", 12, 22, 0)
OXYGEN = Measure(Code("431314004", "Peripheral oxygen saturation"), "%", "%", 92, 99, 0)
TEMPERATURE = Measure(Code("276885007", "Core body temperature"), "°C", "Cel", 36.1, 38.2, 1)
NEWS2 = Measure(
    Code("1104051000000101", "Royal College of Physicians NEWS2 (National Early Warning Score 2) total score"),
    "score", "{score}", 0, 6, 0,
)  # fmt: skip
HBA1C = Measure(
    Code("1107481000000106", "HbA1c (haemoglobin A1c) substance concentration in blood"),
    "mmol/mol",
    "mmol/mol",
    38,
    82,
    0,
)
CREATININE = Measure(
    Code("1107001000000108", "Creatinine substance concentration in serum"), "µmol/L", "umol/L", 58, 160, 0
)
SODIUM = Measure(Code("1107871000000107", "Sodium substance concentration in serum"), "mmol/L", "mmol/L", 132, 146, 0)
POTASSIUM = Measure(
    Code("1107761000000109", "Potassium substance concentration in serum"), "mmol/L", "mmol/L", 3.4, 5.3, 2
)
HAEMOGLOBIN = Measure(Code("1107511000000100", "Haemoglobin mass concentration in blood"), "g/L", "g/L", 98, 165, 0)
CRP = Measure(
    Code("1106741000000105", "CRP (C reactive protein) mass concentration in serum"), "mg/L", "mg/L", 1, 60, 2
)

VITAL_SIGNS = (HEART_RATE, RESPIRATORY_RATE, OXYGEN, TEMPERATURE)
BLOOD_TESTS = (HBA1C, CREATININE, SODIUM, POTASSIUM, HAEMOGLOBIN, CRP)

CARE_PLAN = Code("734163000", "Care plan")
CRISIS_PLAN = Code("736253002", "Mental health crisis plan")
RESPECT_FORM = Code("1382601000000107", "ReSPECT (Recommended Summary Plan for Emergency Care and Treatment) form")
HAS_RESPECT = Code("1107891000000106", "Has Recommended Summary Plan for Emergency Care and Treatment")
CHILD_PROTECTION = Code("342191000000101", "Subject to child protection plan")
NEEDS_ASSESSMENT = Code("710824005", "Assessment of health and social care needs")
CONSULTATION = Code("325851000000107", "Consultation")
FACE_TO_FACE = Code("325861000000105", "Face to face consultation")
SOCIAL_PRESCRIBING = Code("871731000000106", "Referral to social prescribing")
DISCHARGE_SUMMARY = Code("373942005", "Discharge summary")
ABOUT_ME = Code("81338-6", "Patient Goals, preferences, and priorities for care experience", LOINC)
