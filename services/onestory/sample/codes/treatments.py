"""Medicines and vaccines: dm+d. A virtual product where GPs prescribe by name, an actual one where a brand is meant."""

from __future__ import annotations

from onestory.sample.codes import problems
from onestory.sample.codes.code import Code

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
    problems.HYPERTENSION: (AMLODIPINE, RAMIPRIL, CANDESARTAN),
    problems.DIABETES: (METFORMIN,),
    problems.ASTHMA: (SALBUTAMOL,),
    problems.COPD: (SALBUTAMOL,),
    problems.HEART_FAILURE: (FUROSEMIDE, RAMIPRIL),
    problems.ATRIAL_FIBRILLATION: (APIXABAN, WARFARIN),
    problems.STROKE: (ASPIRIN,),
    problems.KNEE_OSTEOARTHRITIS: (PARACETAMOL,),
    problems.DEPRESSION: (SERTRALINE, MIRTAZAPINE),
    problems.ACUTE_BRONCHITIS: (CLARITHROMYCIN,),
    problems.OTITIS_MEDIA: (PENICILLIN_V,),
    problems.PNEUMONIA: (CLARITHROMYCIN,),
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
