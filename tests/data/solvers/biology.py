"""Solve the biology prompts with gametes, strands and generations written out one by one."""

import re
from fractions import Fraction
from itertools import product

CODONS_OF = {
    "Ala": "GCU GCC GCA GCG",
    "Arg": "CGU CGC CGA CGG AGA AGG",
    "Asn": "AAU AAC",
    "Asp": "GAU GAC",
    "Cys": "UGU UGC",
    "Gln": "CAA CAG",
    "Glu": "GAA GAG",
    "Gly": "GGU GGC GGA GGG",
    "His": "CAU CAC",
    "Ile": "AUU AUC AUA",
    "Leu": "UUA UUG CUU CUC CUA CUG",
    "Lys": "AAA AAG",
    "Met": "AUG",
    "Phe": "UUU UUC",
    "Pro": "CCU CCC CCA CCG",
    "Ser": "UCU UCC UCA UCG AGU AGC",
    "Thr": "ACU ACC ACA ACG",
    "Trp": "UGG",
    "Tyr": "UAU UAC",
    "Val": "GUU GUC GUA GUG",
}
STOPS = {"UAA", "UAG", "UGA"}


def _integers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def codon_translation(prompt):
    residues = []
    for codon in re.search(r"5'-([ACGU ]+)-3'", prompt)[1].split():
        if codon in STOPS:
            return "-".join(residues)
        (residue,) = [name for name, codons in CODONS_OF.items() if codon in codons.split()]
        residues.append(residue)
    raise AssertionError("no stop codon")


def reverse_complement(prompt):
    strand = re.search(r"5'-([ACGT]+)-3'", prompt)[1]
    partner = ["TGCA"["ACGT".index(base)] for base in strand]
    return f"5'-{''.join(reversed(partner))}-3'"


def base_composition(prompt):
    total, percent = _integers(prompt)
    asked = re.search(r"bases are (\w+)\?", prompt)[1]
    given = re.search(r"% (\w+)\.", prompt)[1]
    assert {asked, given} not in ({"adenine", "thymine"}, {"cytosine", "guanine"})
    known = Fraction(total * percent, 100)
    return f"{(total - 2 * known) / 2} {asked}"


def monohybrid_cross(prompt):
    pattern = r"In (.+?), (.+?) [A-Z] dominates (.+?)\. Of (\d+) from (.+?) x (.+?), "
    organism, dominant, recessive, count, one, two = re.search(pattern, prompt).groups()
    asked = re.search(r"how many are (.+)\?", prompt)[1]
    alleles = {f"pure {dominant}": "AA", "hybrid": "Aa", recessive: "aa"}
    children = [tuple(sorted(pair)) for pair in product(alleles[one], alleles[two])]
    share = Fraction(children.count(tuple(alleles[asked])), len(children))
    return f"{int(count) * share} {organism}"


def dihybrid_cross(prompt):
    one, two = re.search(r"from (\w+) x (\w+),", prompt).groups()
    dominant = dict(re.findall(r"([\w-]+) ([A-Z])\b", prompt.split("dominate")[0]))
    wanted = re.search(r"how many are (\S+) and (\S+)\?", prompt).groups()
    symbols = list(dominant.values())
    children = list(product(one[:2], two[:2], one[2:], two[2:]))
    matches = 0
    for child in children:
        shown = [symbols[0] in child[:2], symbols[1] in child[2:]]
        matches += shown == [form in dominant for form in wanted]
    return str(_integers(prompt)[0] * Fraction(matches, len(children)))


def hardy_weinberg(prompt):
    count, animals = re.search(r": (\d+) (\w+)", prompt).groups()
    tenths = int(re.search(r"p = 0\.(\d)", prompt)[1])
    pool = "A" * tenths + "a" * (10 - tenths)
    pairs = ["".join(sorted(pair)) for pair in product(pool, pool)]
    asked = re.search(r"How many are (.+)\?", prompt)[1]
    genotype = {"pure dominant": "AA", "heterozygous": "Aa", "pure recessive": "aa"}[asked]
    return f"{int(count) * Fraction(pairs.count(genotype), 100)} {animals}"


def culture_growth(prompt):
    cells, minutes, time = _integers(prompt)
    while time > 0:
        cells, time = 2 * cells, time - minutes
    assert time == 0
    return f"{cells} cells"


def food_chain_energy(prompt):
    energy, first, second = _integers(prompt)
    caught = Fraction(energy * first * second, 10000)
    return f"{float(caught):.6f}".rstrip("0").rstrip(".") + " kJ"


def codon_translation_steps(prompt, steps):
    codons = re.search(r"5'-([ACGU ]+)-3'", prompt)[1].split()
    read = re.findall(r"([ACGU]{3}) = (\w+)", ", ".join(steps))
    known = dict.fromkeys(STOPS, "stop") | {
        codon: name for name, listed in CODONS_OF.items() for codon in listed.split()
    }
    return read == [(codon, known[codon]) for codon in codons]


def reverse_complement_steps(prompt, steps):
    strand = re.search(r"5'-([ACGT]+)-3'", prompt)[1]
    partner = re.search(r"3'-([ACGT]+)-5'", steps[0])[1]
    pairs = {"AT", "TA", "CG", "GC"}
    return all(one + two in pairs for one, two in zip(strand, partner, strict=True))


def monohybrid_cross_steps(prompt, steps):
    """Check the Punnett square of the first step against the named parents."""
    one, two, square = re.search(r"^(\w+) x (\w+) gives (.*)$", steps[0]).groups()
    children = [sum(allele.isupper() for allele in pair) for pair in product(one, two)]
    written = {
        sum(allele.isupper() for allele in genotype): int(number)
        for number, genotype in re.findall(r"(\d) (\w+)", square)
    }
    return written == {kind: children.count(kind) for kind in set(children)}


def dihybrid_cross_steps(prompt, steps):
    one, two = (Fraction(share) for share in re.findall(r"\d/\d", steps[0]))
    return str(_integers(prompt)[0] * one * two) == dihybrid_cross(prompt)
