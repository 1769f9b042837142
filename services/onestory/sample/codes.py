"""The codes of the synthetic network: SNOMED CT (UK edition), dm+d and LOINC, with UCUM units for measurements."""

from __future__ import annotations

from typing import NamedTuple

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"


class Code(NamedTuple):
    """A code with its preferred term in the UK edition. dm+d codes are SNOMED CT codes too."""

    code: str
    display: str
    system: str = SNOMED


# Measurements, findings, plans and services.

BLOOD_PRESSURE = Code("75367002", "Blood pressure")
SYSTOLIC = Code("72313002", "Systolic arterial pressure")
DIASTOLIC = Code("1091811000000102", "Diastolic arterial pressure")
NEVER_SMOKED = Code("266919005", "Never smoked tobacco")
EX_SMOKER = Code("8517006", "Ex-smoker")
FULL_BLOOD_COUNT = Code("26604007", "Full blood count")


class Measure(NamedTuple):
    """A measurement: its unit (also as UCUM), the range of usual values, and the decimals that a laboratory prints."""

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


# Conditions and allergies.

HYPERTENSION = Code("59621000", "Essential hypertension")
DIABETES = Code("44054006", "Type 2 diabetes mellitus")
ASTHMA = Code("195967001", "Asthma")
COPD = Code("13645005", "Chronic obstructive pulmonary disease")
HEART_FAILURE = Code("84114007", "Heart failure")
ATRIAL_FIBRILLATION = Code("49436004", "Atrial fibrillation")
KIDNEY_DISEASE = Code("433144002", "Chronic kidney disease stage 3")
KNEE_OSTEOARTHRITIS = Code("239873007", "Osteoarthritis of knee")
OSTEOPOROSIS = Code("64859006", "Osteoporosis")
ALZHEIMERS = Code("26929004", "Alzheimer's disease")
DEPRESSION = Code("35489007", "Depressive disorder")
BIPOLAR = Code("13746004", "Bipolar disorder")
SCHIZOPHRENIA = Code("58214004", "Schizophrenia")
HYPOTHYROIDISM = Code("40930008", "Hypothyroidism")
MIGRAINE = Code("37796009", "Migraine")
ECZEMA = Code("43116000", "Eczema")
GOUT = Code("90560007", "Gout")
STROKE = Code("230690007", "Stroke")
EPILEPSY = Code("84757009", "Epilepsy")
FRAILTY = Code("248279007", "Frailty")
OTITIS_MEDIA = Code("65363002", "Otitis media")
ACUTE_BRONCHITIS = Code("10509002", "Acute bronchitis")
PNEUMONIA = Code("233604007", "Pneumonia")
URINARY_INFECTION = Code("68566005", "Urinary tract infectious disease")
HIP_FRACTURE = Code("5913000", "Fracture of neck of femur")
SOCIAL_ISOLATION = Code("422650009", "Social isolation")
HIV = Code("86406008", "Human immunodeficiency virus infection")
CHLAMYDIA = Code("105629000", "Chlamydial infection")
ALCOHOL_DEPENDENCE = Code("66590003", "Alcohol dependence")

LONG_TERM_FRAIL = (
    HYPERTENSION, DIABETES, COPD, HEART_FAILURE, ATRIAL_FIBRILLATION, KIDNEY_DISEASE, KNEE_OSTEOARTHRITIS,
    OSTEOPOROSIS, ALZHEIMERS, HYPOTHYROIDISM, GOUT, STROKE, FRAILTY, SOCIAL_ISOLATION,
)  # fmt: skip
LONG_TERM_ADULT = (HYPERTENSION, DIABETES, ASTHMA, DEPRESSION, HYPOTHYROIDISM, MIGRAINE, ECZEMA, EPILEPSY, GOUT)
LONG_TERM_CHILD = (ASTHMA, ECZEMA, EPILEPSY, MIGRAINE)
SHORT_TERM = (ACUTE_BRONCHITIS, URINARY_INFECTION, OTITIS_MEDIA, PNEUMONIA)
MENTAL_ILLNESS = (DEPRESSION, BIPOLAR, SCHIZOPHRENIA)

PENICILLIN_ALLERGY = Code("91936005", "Allergy to penicillin")
PENICILLIN = Code("764146007", "Penicillin")
PEANUT_ALLERGY = Code("91935009", "Allergy to peanut")
AMOXICILLIN_ALLERGY = Code("294505008", "Allergy to amoxicillin")
AMOXICILLIN = Code("372687004", "Amoxicillin")
ASPIRIN_ALLERGY = Code("293586001", "Allergy to aspirin")
ASPIRIN_SUBSTANCE = Code("387458008", "Aspirin")
NO_KNOWN_ALLERGY = Code("716186003", "No known allergy")

RASH = Code("271807003", "Eruption")
URTICARIA = Code("247472004", "Urticarial rash")
ANAPHYLAXIS = Code("39579001", "Anaphylaxis")
BREATHLESSNESS = Code("267036007", "Dyspnoea")


# Medicines and vaccines (dm+d): a virtual product for a prescription by name, an actual product for a brand.

AMLODIPINE = Code("39732011000001102", "Amlodipine 5mg tablets")
RAMIPRIL = Code("318902004", "Ramipril 5mg capsules")
CANDESARTAN = Code("318979007", "Candesartan 8mg tablets")
APIXABAN = Code("703908001", "Apixaban 5mg tablets")
WARFARIN = Code("319733000", "Warfarin 1mg tablets")
ASPIRIN = Code("319773006", "Aspirin 75mg dispersible tablets")
FUROSEMIDE = Code("317972000", "Furosemide 40mg tablets")
METFORMIN = Code("39113511000001101", "Metformin 500mg modified-release tablets")
SALBUTAMOL = Code("39113611000001102", "Salbutamol 100micrograms/dose inhaler CFC free")
PARACETAMOL = Code("42109611000001109", "Paracetamol 500mg tablets")
SERTRALINE = Code("11408711000001107", "Sertraline 50mg tablets (Almus Pharmaceuticals Ltd)")
MIRTAZAPINE = Code("10395211000001106", "Mirtazapine 30mg tablets (Arrow Generics Ltd)")
PENICILLIN_V = Code("41953811000001101", "Phenoxymethylpenicillin 250mg tablets")
CLARITHROMYCIN = Code("41946511000001109", "Clarithromycin 500mg tablets")

TIMES_A_DAY: dict[Code, int] = {
    APIXABAN: 2,
    METFORMIN: 2,
    SALBUTAMOL: 4,
    PARACETAMOL: 4,
    PENICILLIN_V: 4,
    CLARITHROMYCIN: 2,
}
"""The usual frequency; once a day for all others."""

MEDICINES_FOR: dict[Code, tuple[Code, ...]] = {
    HYPERTENSION: (AMLODIPINE, RAMIPRIL, CANDESARTAN),
    DIABETES: (METFORMIN,),
    ASTHMA: (SALBUTAMOL,),
    COPD: (SALBUTAMOL,),
    HEART_FAILURE: (FUROSEMIDE, RAMIPRIL),
    ATRIAL_FIBRILLATION: (APIXABAN, WARFARIN),
    STROKE: (ASPIRIN,),
    KNEE_OSTEOARTHRITIS: (PARACETAMOL,),
    DEPRESSION: (SERTRALINE, MIRTAZAPINE),
    ACUTE_BRONCHITIS: (CLARITHROMYCIN,),
    OTITIS_MEDIA: (PENICILLIN_V,),
    PNEUMONIA: (CLARITHROMYCIN,),
}

FLU_VACCINE = Code(
    "34680411000001107",
    "Quadrivalent influenza vaccine (split virion, inactivated) suspension for injection 0.5ml pre-filled syringes "
    "(Sanofi Pasteur)",
)
COVID_VACCINE = Code(
    "39114911000001105",
    "COVID-19 Vaccine Vaxzevria (ChAdOx1 S [recombinant]) not less than 2.5x100,000,000 infectious units/0.5ml dose "
    "suspension for injection multidose vials (AstraZeneca UK Ltd)",
)
MMR_VACCINE = Code(
    "34925411000001109",
    "Priorix vaccine powder and solvent for solution for injection 0.5ml pre-filled syringes (GlaxoSmithKline UK Ltd) "
    "1 pre-filled disposable injection",
)
