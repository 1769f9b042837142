"""Conditions and allergies: SNOMED CT, UK edition."""

from __future__ import annotations

from onestory.sample.codes.code import Code

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
ASPIRIN = Code("387458008", "Aspirin")
NO_KNOWN_ALLERGY = Code("716186003", "No known allergy")

RASH = Code("271807003", "Eruption")
URTICARIA = Code("247472004", "Urticarial rash")
ANAPHYLAXIS = Code("39579001", "Anaphylaxis")
BREATHLESSNESS = Code("267036007", "Dyspnoea")
