"""Biology: the genetic code, strands of DNA, crosses, populations and food chains."""

import random
from fractions import Fraction

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import decimal_text, table, words

# The standard genetic code, codons in the order UUU, UUC, UUA, UUG, UCU, ...; * is stop.
RNA_BASES = "UCAG"
CODE_LETTERS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
RESIDUES = table(
    "F:Phe L:Leu S:Ser Y:Tyr C:Cys W:Trp P:Pro H:His Q:Gln R:Arg I:Ile M:Met "
    "T:Thr N:Asn K:Lys V:Val A:Ala D:Asp E:Glu G:Gly *:stop"
)
CODONS = {
    first + second + third: RESIDUES[CODE_LETTERS[16 * i + 4 * j + k]]
    for i, first in enumerate(RNA_BASES)
    for j, second in enumerate(RNA_BASES)
    for k, third in enumerate(RNA_BASES)
}
SENSE = tuple(codon for codon, residue in CODONS.items() if residue != "stop")
STOPS = tuple(codon for codon, residue in CODONS.items() if residue == "stop")
COMPLEMENT = str.maketrans("ACGT", "TGCA")

SPECIES = words(
    "yeast salmon wheat maize mouse frog oak rice squid newt "
    "carp moss fern trout barley lizard pigeon crab moth hen"
)
ANIMALS = words(
    "moths snails beetles mice finches newts foxes hares toads wolves seals deer voles crabs"
)
MICROBES = words(
    "Escherichia yeast Salmonella Bacillus Listeria Vibrio "
    "Chlorella Euglena Paramecium Lactobacillus Streptococcus Pseudomonas"
)
# Organism, dominant form with its symbol, recessive form. Textbook traits; those of one organism
# assort independently (the genes lie on other chromosomes or far apart).
TRAITS = (
    ("peas", "tall", "T", "dwarf"),
    ("peas", "round", "R", "wrinkled"),
    ("peas", "yellow", "Y", "green"),
    ("peas", "purple", "P", "white"),
    ("peas", "inflated", "I", "pinched"),
    ("peas", "axial", "A", "terminal"),
    ("flies", "winged", "W", "vestigial"),
    ("flies", "grey", "G", "ebony"),
    ("flies", "eyed", "E", "eyeless"),
    ("guinea pigs", "black", "B", "brown"),
    ("guinea pigs", "rough", "R", "smooth"),
    ("guinea pigs", "short", "S", "long"),
    ("tomatoes", "red", "R", "yellow"),
    ("tomatoes", "tall", "D", "dwarf"),
    ("maize", "purple", "P", "yellow"),
    ("maize", "starchy", "S", "sugary"),
    ("cattle", "polled", "H", "horned"),
    ("cattle", "black", "B", "red"),
    ("dogs", "black", "B", "brown"),
    ("rabbits", "agouti", "A", "black"),
    ("mice", "agouti", "A", "black"),
    ("squash", "white", "W", "yellow"),
)
PAIRS = tuple(
    (one, two) for one in TRAITS for two in TRAITS if one[0] == two[0] and one[2] != two[2]
)
FOOD_CHAINS = (
    ("grass", "voles", "owls"),
    ("grass", "hares", "lynxes"),
    ("algae", "krill", "penguins"),
    ("algae", "shrimp", "gulls"),
    ("clover", "snails", "thrushes"),
    ("oaks", "moths", "bats"),
    ("kelp", "urchins", "otters"),
    ("wheat", "mice", "snakes"),
    ("plankton", "herring", "seals"),
    ("reeds", "beetles", "frogs"),
    ("grass", "zebras", "lions"),
    ("pondweed", "tadpoles", "newts"),
    ("lichen", "deer", "wolves"),
    ("beans", "aphids", "beetles"),
)


def codon_translation(rng: random.Random) -> Problem:
    """Translate a short mRNA with the standard genetic code."""
    codons = ["AUG", *(rng.choice(SENSE) for _ in range(3)), rng.choice(STOPS)]
    prompt = rng.choice(("Translate the mRNA", "Which peptide is coded by the mRNA"))
    ending = "?" if prompt.startswith("Which") else "."
    read = [f"{codon} = {CODONS[codon]}" for codon in codons]
    steps = (", ".join(read[:3]), ", ".join(read[3:]))
    peptide = "-".join(CODONS[codon] for codon in codons[:-1])
    return Problem(f"{prompt} 5'-{' '.join(codons)}-3'{ending}", steps, peptide)


def reverse_complement(rng: random.Random) -> Problem:
    """Write the complementary DNA strand in its own reading direction."""
    strand = "".join(rng.choice("ACGT") for _ in range(rng.randint(8, 10)))
    prompt = rng.choice(("Write the complementary DNA strand of", "Which DNA strand pairs with"))
    ending = "?" if prompt.startswith("Which") else "."
    pairing = strand.translate(COMPLEMENT)
    steps = (
        f"Pair A-T and C-G: 3'-{pairing}-5'",
        "Read it from its 5' end",
    )
    return Problem(f"{prompt} 5'-{strand}-3'{ending}", steps, f"5'-{pairing[::-1]}-3'")


def base_composition(rng: random.Random) -> Problem:
    """Apply Chargaff's rule to count one base of double-stranded DNA."""
    names = {"A": "adenine", "C": "cytosine", "G": "guanine", "T": "thymine"}
    given, species = rng.choice("ACGT"), rng.choice(SPECIES)
    asked = rng.choice("CG" if given in "AT" else "AT")
    percent, total = rng.randint(5, 45), 100 * rng.randint(2, 90)
    prompt = (
        f"Double-stranded {species} DNA of {total} bases is {percent}% {names[given]}. "
        f"How many bases are {names[asked]}?"
    )
    share = 50 - percent
    steps = (
        f"{given} = {given.translate(COMPLEMENT)}, so {asked} = 50 - {percent} = {share} percent",
        f"{total} * {share} / 100 = {total * share // 100}",
    )
    return Problem(prompt, steps, f"{total * share // 100} {names[asked]}")


def monohybrid_cross(rng: random.Random) -> Problem:
    """Predict the offspring of a cross in one gene."""
    organism, dominant, upper, recessive = rng.choice(TRAITS)
    count = 4 * rng.randint(5, 240)
    one, two = rng.choice((("Aa", "Aa"), ("Aa", "aa"), ("AA", "Aa")))
    counts = _offspring(one, two)
    present = [kind for kind in counts if counts[kind]]
    genotype = rng.choice(present)
    share = Fraction(counts[genotype], 4)

    names = {"AA": f"pure {dominant}", "Aa": "hybrid", "aa": recessive}
    prompt = (
        f"In {organism}, {dominant} {upper} dominates {recessive}. "
        f"Of {count} from {names[one]} x {names[two]}, how many are {names[genotype]}?"
    )
    square = ", ".join(f"{counts[kind]} {kind}" for kind in present)
    steps = (
        _with_symbol(f"{one} x {two} gives {square}", upper),
        f"{count} * {counts[genotype]} / 4 = {count * share}",
    )
    return Problem(prompt, steps, f"{count * share} {organism}")


def _with_symbol(text: str, upper: str) -> str:
    """Write genotypes in A and a with the symbol of a gene."""
    return text.replace("A", upper).replace("a", upper.lower())


def _offspring(one: str, two: str) -> dict[str, int]:
    """Count the genotypes in the four cells of a Punnett square."""
    counts = {"AA": 0, "Aa": 0, "aa": 0}
    for first in one:
        for second in two:
            counts["".join(sorted(first + second))] += 1
    return counts


def dihybrid_cross(rng: random.Random) -> Problem:
    """Multiply the shares of two independent genes."""
    pair, total = rng.choice(PAIRS), 16 * rng.randint(2, 180)
    crosses = [rng.choice((("Aa", "Aa"), ("Aa", "aa"), ("aa", "Aa"))) for _ in pair]
    parents, forms, shares = ["", ""], [], []
    for (_, dominant, upper, recessive), cross in zip(pair, crosses, strict=True):
        for i, genotype in enumerate(cross):
            parents[i] += _with_symbol(genotype, upper)
        homozygous = Fraction(_offspring(*cross)["aa"], 4)
        form, share = rng.choice(((dominant, 1 - homozygous), (recessive, homozygous)))
        forms.append(form)
        shares.append(share)
    symbols = " and ".join(f"{dominant} {upper}" for _, dominant, upper, _ in pair)
    prompt = (
        f"In {pair[0][0]}, {symbols} dominate. "
        f"Of {total} from {' x '.join(parents)}, how many are {' and '.join(forms)}?"
    )
    answer = total * shares[0] * shares[1]
    steps = (
        f"{forms[0]} {shares[0]}, {forms[1]} {shares[1]}".capitalize(),
        f"{total} * {shares[0]} * {shares[1]} = {answer}",
    )
    return Problem(prompt, steps, str(answer))


def hardy_weinberg(rng: random.Random) -> Problem:
    """Predict genotype numbers from an allele frequency."""
    animals, count = rng.choice(ANIMALS), 100 * rng.randint(2, 90)
    p = Fraction(rng.randint(1, 9), 10)
    q, dominant, recessive = 1 - p, decimal_text(p), decimal_text(1 - p)
    products = {
        "pure dominant": (p * p, f"p^2 = {dominant}^2"),
        "heterozygous": (2 * p * q, f"2pq = 2 * {dominant} * {recessive}"),
        "pure recessive": (q * q, f"q^2 = {recessive}^2"),
    }
    genotype = rng.choice(tuple(products))
    share, product = products[genotype]
    prompt = f"Hardy-Weinberg: {count} {animals} have p = {dominant}. How many are {genotype}?"
    steps = (
        f"q = 1 - {dominant} = {recessive}",
        f"{product} = {decimal_text(share)}",
        f"{count} * {decimal_text(share)} = {count * share}",
    )
    return Problem(prompt, steps, f"{count * share} {animals}")


def culture_growth(rng: random.Random) -> Problem:
    """Double a culture for a number of generations."""
    microbe, start = rng.choice(MICROBES), 10 * rng.randint(2, 99)
    minutes, generations = rng.choice((15, 20, 25, 30, 40, 45, 60, 90)), rng.randint(2, 6)
    time, grown = minutes * generations, 2**generations
    prompt = rng.choice(
        (
            f"A culture of {start} {microbe} cells divides every {minutes} min. "
            f"How many cells live after {time} min?",
            f"{start} {microbe} cells double every {minutes} min. Count them after {time} min.",
        )
    )
    steps = (
        f"Generations {time} / {minutes} = {generations}, growth 2^{generations} = {grown}",
        f"{start} * {grown} = {start * grown}",
    )
    return Problem(prompt, steps, f"{start * grown} cells")


def food_chain_energy(rng: random.Random) -> Problem:
    """Pass energy up two links of a food chain."""
    producer, grazer, hunter = rng.choice(FOOD_CHAINS)
    first, second = rng.choice((5, 10, 15, 20)), rng.choice((10, 20))
    energy = 20 * rng.randint(50, 480)
    prompt = (
        f"{producer.capitalize()} -> {grazer} -> {hunter}: {energy} kJ, then {first}% and "
        f"{second}% pass on. What do {hunter} get?"
    )
    eaten = energy * first // 100
    caught = decimal_text(Fraction(eaten * second, 100))
    steps = (
        f"{grazer.capitalize()}: {energy} * {first} / 100 = {eaten} kJ",
        f"{hunter.capitalize()}: {eaten} * {second} / 100 = {caught} kJ",
    )
    return Problem(prompt, steps, f"{caught} kJ")


TEMPLATES: tuple[Template, ...] = (
    codon_translation,
    reverse_complement,
    base_composition,
    monohybrid_cross,
    dihybrid_cross,
    hardy_weinberg,
    culture_growth,
    food_chain_energy,
)
