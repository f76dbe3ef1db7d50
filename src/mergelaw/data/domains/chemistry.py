"""Chemistry: molar masses, balanced reactions, solutions, acids and gases."""

import random
import re
from fractions import Fraction

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import decimal_text, table, words

# School values in g/mol: whole numbers, with halves for Cl, Cu, Zn and Ba.
ATOMIC_MASSES = table(
    "H:1 He:4 Li:7 C:12 N:14 O:16 F:19 Ne:20 Na:23 Mg:24 Al:27 Si:28 P:31 S:32 Cl:35.5 Ar:40 "
    "K:39 Ca:40 Ti:48 Cr:52 Mn:55 Fe:56 Cu:63.5 Zn:65.5 Br:80 Ag:108 I:127 Ba:137.5 Pb:207"
)
COMPOUNDS = words(
    "NaCl KCl CaCl2 MgCl2 AlCl3 FeCl3 ZnCl2 CuSO4 FeSO4 ZnSO4 MgSO4 Na2SO4 K2SO4 BaSO4 CaSO4 "
    "NaOH KOH LiOH Ca(OH)2 Mg(OH)2 Al(OH)3 Ba(OH)2 HNO3 H2SO4 H3PO4 HCl HBr NaNO3 KNO3 AgNO3 "
    "Ca(NO3)2 Mg(NO3)2 Pb(NO3)2 NH4Cl NH4NO3 (NH4)2SO4 Na2CO3 K2CO3 CaCO3 MgCO3 NaHCO3 H2O "
    "CO2 SO2 SO3 NO2 P4O10 Fe2O3 Fe3O4 Al2O3 MgO CaO CuO ZnO TiO2 SiO2 MnO2 KMnO4 K2Cr2O7 KClO3 "
    "KI NaBr NaF CaF2 H2O2 C2H6O C3H8 C6H6 C6H12O6 C12H22O11"
)
GASES = words("H2 He N2 O2 Ne Ar CO CO2 CH4 NH3 SO2 NO H2S C2H6 C2H4 C2H2 C3H8 HBr HCl Cl2")
SOLUTES = words("HCl HNO3 H2SO4 NaOH KOH NaCl KCl CuSO4 NaBr NH4Cl NaNO3 CaCl2")
STRONG_ACIDS = ("HCl", "HBr", "HI", "HNO3", "HClO4")
STRONG_BASES = ("NaOH", "KOH", "LiOH")
ACID_PROTONS = {"HCl": 1, "HBr": 1, "HNO3": 1, "HClO4": 1, "H2SO4": 2}
REACTIONS = (
    "2H2 + O2 -> 2H2O",
    "N2 + 3H2 -> 2NH3",
    "N2 + O2 -> 2NO",
    "CH4 + 2O2 -> CO2 + 2H2O",
    "C2H4 + 3O2 -> 2CO2 + 2H2O",
    "2C2H6 + 7O2 -> 4CO2 + 6H2O",
    "2C2H2 + 5O2 -> 4CO2 + 2H2O",
    "C3H8 + 5O2 -> 3CO2 + 4H2O",
    "C5H12 + 8O2 -> 5CO2 + 6H2O",
    "C2H6O + 3O2 -> 2CO2 + 3H2O",
    "2C3H6 + 9O2 -> 6CO2 + 6H2O",
    "4Fe + 3O2 -> 2Fe2O3",
    "4Al + 3O2 -> 2Al2O3",
    "2Mg + O2 -> 2MgO",
    "2Na + Cl2 -> 2NaCl",
    "2K + Br2 -> 2KBr",
    "2Al + 3Cl2 -> 2AlCl3",
    "2Fe + 3Cl2 -> 2FeCl3",
    "Zn + 2HCl -> ZnCl2 + H2",
    "Mg + 2HCl -> MgCl2 + H2",
    "2Al + 6HCl -> 2AlCl3 + 3H2",
    "2Na + 2H2O -> 2NaOH + H2",
    "Ca + 2H2O -> Ca(OH)2 + H2",
    "Fe2O3 + 3CO -> 2Fe + 3CO2",
    "Fe3O4 + 4H2 -> 3Fe + 4H2O",
    "CuO + H2 -> Cu + H2O",
    "2KClO3 -> 2KCl + 3O2",
    "2H2O2 -> 2H2O + O2",
    "4NH3 + 5O2 -> 4NO + 6H2O",
    "3NO2 + H2O -> 2HNO3 + NO",
    "2SO2 + O2 -> 2SO3",
    "2CO + O2 -> 2CO2",
    "P4 + 5O2 -> P4O10",
    "CS2 + 3O2 -> CO2 + 2SO2",
    "2H2S + 3O2 -> 2H2O + 2SO2",
    "NaOH + HCl -> NaCl + H2O",
)


def _composition(formula: str) -> dict[str, int]:
    """Count the atoms of a formula, which may hold one level of brackets."""
    flat = re.sub(
        r"\((\w+)\)(\d+)",
        lambda group: "".join(
            f"{element}{int(count or 1) * int(group[2])}"
            for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", group[1])
        ),
        formula,
    )
    counts: dict[str, int] = {}
    for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", flat):
        counts[element] = counts.get(element, 0) + int(count or 1)
    return counts


def _molar_mass(formula: str) -> tuple[Fraction, str]:
    """Return the molar mass in g/mol and the sum that shows it."""
    counts = _composition(formula)
    total = sum(
        (count * Fraction(ATOMIC_MASSES[element]) for element, count in counts.items()),
        Fraction(0),
    )
    terms = [
        ATOMIC_MASSES[element] if count == 1 else f"{count} * {ATOMIC_MASSES[element]}"
        for element, count in counts.items()
    ]
    shown = " + ".join(terms)
    value = decimal_text(total)
    return total, value if shown == value else f"{shown} = {value}"


def _species(equation: str) -> list[tuple[str, int]]:
    """Split a balanced equation into formulas with their coefficients."""
    parts = re.findall(r"(?:^| )(\d*)((?:[A-Z(])[\w()]*)", equation)
    return [(formula, int(count or 1)) for count, formula in parts]


def _unbalanced(equation: str) -> str:
    """Drop the coefficients of an equation."""
    return re.sub(r"(^| )\d+(?=[A-Z(])", r"\1", equation)


def mass_of_moles(rng: random.Random) -> Problem:
    """Turn moles of a compound into grams."""
    formula, moles = rng.choice(COMPOUNDS), Fraction(rng.randint(2, 400), 10)
    amount = decimal_text(moles)
    prompt = rng.choice(
        (f"What is the mass of {amount} mol of {formula}?", f"Weigh {amount} mol of {formula}.")
    )
    molar, shown = _molar_mass(formula)
    mass = decimal_text(moles * molar)
    steps = (
        f"M({formula}) = {shown} g/mol",
        f"m = {amount} * {decimal_text(molar)} = {mass} g",
    )
    return Problem(prompt, steps, f"{mass} g")


def moles_in_mass(rng: random.Random) -> Problem:
    """Turn grams of a compound into moles."""
    formula, moles = rng.choice(COMPOUNDS), Fraction(rng.randint(2, 400), 20)
    molar, shown = _molar_mass(formula)
    amount, mass = decimal_text(moles), decimal_text(moles * molar)
    prompt = rng.choice(
        (f"How many moles are {mass} g of {formula}?", f"Convert {mass} g of {formula} to moles.")
    )
    steps = (
        f"M({formula}) = {shown} g/mol",
        f"n = {mass} / {decimal_text(molar)} = {amount} mol",
    )
    return Problem(prompt, steps, f"{amount} mol")


def reaction_moles(rng: random.Random) -> Problem:
    """Balance a known reaction and scale one amount to another."""
    equation = rng.choice(REACTIONS)
    (given, per), (asked, by) = rng.sample(_species(equation), 2)
    moles = per * Fraction(rng.randint(1, 199), 10)
    start, result = decimal_text(moles), decimal_text(moles * by / per)
    prompt = f"Balance {_unbalanced(equation)}. How much {asked} goes with {start} mol of {given}?"
    steps = (
        equation,
        f"n = {start} * {by} / {per} = {result} mol",
    )
    return Problem(prompt, steps, f"{result} mol {asked}")


def reaction_mass(rng: random.Random) -> Problem:
    """Find the mass of a partner in a known reaction."""
    equation = rng.choice(REACTIONS)
    (given, per), (asked, by) = rng.sample(_species(equation), 2)
    moles = per * rng.randint(1, 99)
    start, result = moles, moles * by // per
    molar, _ = _molar_mass(asked)
    grams, mass = decimal_text(molar), decimal_text(result * molar)
    prompt = f"{_unbalanced(equation)}: what mass of {asked} per {start} mol of {given}?"
    steps = (
        equation,
        f"n = {start} * {by} / {per} = {result} mol",
        f"m = {result} * {grams} = {mass} g",
    )
    return Problem(prompt, steps, f"{mass} g")


def dilution(rng: random.Random) -> Problem:
    """Find the volume of a stock solution to dilute."""
    solute, stock_volume = rng.choice(SOLUTES), rng.randint(2, 60)
    fold = rng.choice((2, 4, 5, 8, 10, 20, 25))
    weak = Fraction(rng.randint(1, 16), 100)
    strong, total = decimal_text(weak * fold), stock_volume * fold
    amount = decimal_text(weak * total)
    prompt = rng.choice(("What volume of", "How many mL of"))
    prompt = (
        f"{prompt} {strong} M {solute} must be diluted to make {total} mL of "
        f"{decimal_text(weak)} M {solute}?"
    )
    steps = (
        f"C2 V2 = {decimal_text(weak)} * {total} = {amount} mmol",
        f"V1 = {amount} / {strong} = {stock_volume} mL",
    )
    return Problem(prompt, steps, f"{stock_volume} mL")


def strong_acid_ph(rng: random.Random) -> Problem:
    """Find the pH of a strong acid or base at 25 C."""
    solute = rng.choice(STRONG_ACIDS + STRONG_BASES)
    power, volume = rng.randint(1, 4), rng.randint(20, 999)
    strength = Fraction(1, 10**power)
    amount = decimal_text(volume * strength)
    prompt = rng.choice(
        (
            f"Find the pH of {amount} mmol of {solute} in {volume} mL of solution at 25 C.",
            f"{volume} mL of solution holds {amount} mmol of {solute}. What is its pH at 25 C?",
        )
    )
    concentration = f"c = {amount} / {volume} = {decimal_text(strength)} M"
    if solute in STRONG_ACIDS:
        steps = (concentration, f"Strong acid: pH = -log c = {power}")
        return Problem(prompt, steps, f"pH {power}")
    steps = (concentration, f"Strong base: pOH = {power}, pH = 14 - {power} = {14 - power}")
    return Problem(prompt, steps, f"pH {14 - power}")


def titration(rng: random.Random) -> Problem:
    """Find the concentration of an acid from its neutralisation."""
    acid, base = rng.choice(tuple(ACID_PROTONS)), rng.choice(STRONG_BASES)
    sample, burette = rng.choice((5, 10, 20, 25)), rng.randint(5, 60)
    strength = Fraction(rng.randint(1, 20), 10)
    titre = decimal_text(strength)
    prompt = f"{burette} mL of {titre} M {base} neutralises {sample} mL of {acid}. Find c({acid})."
    added = burette * strength
    amount = added / ACID_PROTONS[acid]
    neutralised, result = decimal_text(amount), decimal_text(amount / sample)
    steps = (
        f"Base {burette} * {titre} = {decimal_text(added)} mmol",
        f"Acid {decimal_text(added)} / {ACID_PROTONS[acid]} = {neutralised} mmol",
        f"c = {neutralised} / {sample} = {result} M",
    )
    return Problem(prompt, steps, f"{result} M")


def gas_volume(rng: random.Random) -> Problem:
    """Find the volume of a gas at 0 C and 1 atm from its mass."""
    gas, moles = rng.choice(GASES), Fraction(rng.randint(1, 800), 20)
    molar, _ = _molar_mass(gas)
    amount, mass = decimal_text(moles), decimal_text(moles * molar)
    prompt = rng.choice(
        (
            f"What volume do {mass} g of {gas} gas fill at 0 C and 1 atm?",
            f"Find the volume of {mass} g of {gas} gas at 0 C and 1 atm.",
        )
    )
    volume = decimal_text(moles * Fraction("22.4"))
    steps = (
        f"n = {mass} / {decimal_text(molar)} = {amount} mol",
        f"V = {amount} * 22.4 = {volume} L",
    )
    return Problem(prompt, steps, f"{volume} L")


TEMPLATES: tuple[Template, ...] = (
    mass_of_moles,
    moles_in_mass,
    reaction_moles,
    reaction_mass,
    dilution,
    strong_acid_ph,
    titration,
    gas_volume,
)
