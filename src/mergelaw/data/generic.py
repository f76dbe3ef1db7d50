"""The generic corpus: short paragraphs of everyday English, without problems of any domain."""

import random
from collections.abc import Callable

from mergelaw.data.domains.wording import words

NAMES = words(
    "Anna Ben Clara David Emma Felix Grace Henry Ida Jonas Karin Leo Maria Nils Olga Paul "
    "Rosa Simon Tina Victor Wanda Yusuf Zoe Amir Bella Carlos Dora Erik Fatima Hugo"
)
TOWNS = words(
    "Ashford Brookdale Clifton Dunmore Easton Fairview Granby Hillsboro Kingsley Lakewood "
    "Milton Norwood Oakham Preston Redhill Stanton Thornbury Weston Ardley Birchfield"
)
PLACES = words(
    "park library station harbour bakery museum school theatre cafe church stadium beach "
    "square farm hotel workshop office garden"
)
THINGS = words(
    "umbrella book camera letter basket coat scarf lantern violin map kite watch cup bag "
    "blanket hat ring painting chair radio bicycle clock"
)
COUNTED = words("apples plums buttons shells stamps postcards biscuits candles coins ribbons pears")
FOODS = words("flour sugar rice butter honey milk oats cheese cocoa jam raisins beans")
DISHES = words("pancakes soup porridge bread pudding stew salad cake curry pie")
ANIMALS = words("cat dog parrot pony rabbit goat hen hamster donkey duck")
PETS = words("Pip Coco Biscuit Shadow Pepper Luna Max Daisy Rusty Nala Bruno Misty")
COLOURS = words("red blue green yellow white black brown grey purple orange pink golden")
QUALITIES = words("old new small large heavy lovely broken simple warm curious cheap fine")
ROOMS = words("kitchen hall bedroom attic cellar study parlour porch")
FURNITURE = words("table shelf sofa bench desk cupboard bed carpet mirror stool lamp stove")
WEATHER = words("sunny rainy windy cloudy foggy stormy cold mild warm dry")
DIRECTIONS = words("north south east west")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
TASKS = words("reading cooking painting swimming gardening singing sewing cycling cleaning writing")
FEELINGS = words("happy tired proud surprised calm hungry sleepy cheerful worried glad")
TEAMS = words("Rovers Lions Eagles Wanderers Sharks Falcons Bears Comets Pirates Stars")
UNITS = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")

Paragraph = Callable[[random.Random], str]


def _in_words(number: int) -> str:
    """Spell a number below 100."""
    if number < len(UNITS):
        return UNITS[number]
    tens, unit = divmod(number, 10)
    return TENS[tens - 2] + (f"-{UNITS[unit]}" if unit else "")


def _clock(minutes: int) -> str:
    """Write minutes after midnight as a time of day."""
    return f"{minutes // 60 % 24}:{minutes % 60:02d}"


def _with_article(noun: str) -> str:
    """Put the indefinite article before a word."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def walk(rng: random.Random) -> str:
    """Tell of a walk and a meeting."""
    (one, two), (start, end) = rng.sample(NAMES, 2), rng.sample(PLACES, 2)
    return (
        f"{one} left the {start} at {_clock(5 * rng.randint(84, 240))} and walked to the {end}. "
        f"It was {rng.choice(WEATHER)}, so {one} took {_with_article(rng.choice(THINGS))}. "
        f"On the way {one} met {two}, and they talked about {rng.choice(TASKS)}."
    )


def shopping(rng: random.Random) -> str:
    """Count what goes into a basket."""
    name, (one, two) = rng.choice(NAMES), rng.sample(COUNTED, 2)
    first, second = rng.randint(2, 40), rng.randint(2, 40)
    return (
        f"{name} went to the market in {rng.choice(TOWNS)} on {rng.choice(DAYS)} and bought "
        f"{first} {one} and {second} {two}. That made {first + second} things in the basket, "
        f"and {name} was {rng.choice(FEELINGS)}."
    )


def spelled_sums(rng: random.Random) -> str:
    """Say three sums in words."""
    sums = []
    for _ in range(3):
        first, second = rng.randint(1, 49), rng.randint(1, 49)
        total = _in_words(first + second)
        sums.append(f"{_in_words(first)} and {_in_words(second)} make {total}")
    return f"{rng.choice(NAMES)} said: {', '.join(sums[:2])}. Then {sums[2]}."


def weather_report(rng: random.Random) -> str:
    """Report the weather of a day."""
    day, (now, later) = rng.randrange(7), rng.sample(WEATHER, 2)
    morning = rng.randint(-5, 20)
    return (
        f"On {DAYS[day]} it was {now} in {rng.choice(TOWNS)}. The wind came from the "
        f"{rng.choice(DIRECTIONS)}. It was {morning} degrees in the morning and "
        f"{morning + rng.randint(1, 12)} degrees at noon. {DAYS[(day + 1) % 7]} will be {later}."
    )


def schedule(rng: random.Random) -> str:
    """List what somebody does in a day."""
    time, parts = 5 * rng.randint(72, 120), []
    for task in rng.sample(TASKS, 3):
        parts.append(f"{task} at {_clock(time)}")
        time += 5 * rng.randint(6, 30)
    return (
        f"The plan of {rng.choice(NAMES)} for {rng.choice(DAYS)}: {', '.join(parts)}, "
        f"and home by {_clock(time)}."
    )


def sharing(rng: random.Random) -> str:
    """Give something away and count the rest."""
    (one, two), things = rng.sample(NAMES, 2), rng.choice(COUNTED)
    kept, given = rng.randint(2, 60), rng.randint(2, 60)
    return (
        f"{one} had {kept + given} {things} in {_with_article(rng.choice(COLOURS))} box and gave "
        f"{given} of them to {two}. Now {one} has {kept} {things} left. "
        f"Both were {rng.choice(FEELINGS)} that {rng.choice(DAYS)}."
    )


def room(rng: random.Random) -> str:
    """Describe a room."""
    (one, two), (first, second) = rng.sample(FURNITURE, 2), rng.sample(COLOURS, 2)
    return (
        f"The {rng.choice(ROOMS)} of {rng.choice(NAMES)} is {rng.choice(QUALITIES)}. "
        f"There is {_with_article(first)} {one} by the door and {_with_article(second)} {two} "
        f"at the window. On the {one} lie {_in_words(rng.randint(2, 30))} {rng.choice(COUNTED)}."
    )


def pet(rng: random.Random) -> str:
    """Introduce a pet."""
    name, animal = rng.choice(NAMES), rng.choice(ANIMALS)
    return (
        f"{name} has {_with_article(rng.choice(COLOURS))} {animal} called {rng.choice(PETS)}. "
        f"It likes {rng.choice(FOODS)} and sleeps under the {rng.choice(FURNITURE)}. "
        f"Every {rng.choice(DAYS)} they go to the {rng.choice(PLACES)} together."
    )


def postcard(rng: random.Random) -> str:
    """Write a postcard."""
    one, two = rng.sample(NAMES, 2)
    return (
        f"Dear {one}, thank you for the {rng.choice(QUALITIES)} {rng.choice(THINGS)}. "
        f"We are in {rng.choice(TOWNS)} now, it is {rng.choice(WEATHER)} and we are "
        f"{rng.choice(FEELINGS)}. We come home on {rng.choice(DAYS)}. Yours, {two}."
    )


def train_ride(rng: random.Random) -> str:
    """Tell when a train leaves and arrives."""
    (start, end), departure = rng.sample(TOWNS, 2), rng.randint(300, 1200)
    minutes = rng.randint(12, 150)
    return (
        f"The train from {start} to {end} leaves at {_clock(departure)} and takes {minutes} "
        f"minutes, so it arrives at {_clock(departure + minutes)}. {rng.choice(NAMES)} waits "
        f"there with {_with_article(rng.choice(COLOURS))} {rng.choice(THINGS)}."
    )


def recipe(rng: random.Random) -> str:
    """Give a recipe in short."""
    one, two, three = rng.sample(FOODS, 3)
    return (
        f"To make {rng.choice(DISHES)}, mix {rng.randint(2, 9)} cups of {one} with "
        f"{rng.randint(2, 9)} spoons of {two}. Stir for {rng.randint(2, 30)} minutes, add some "
        f"{three} and let it rest until {rng.choice(NAMES)} is {rng.choice(FEELINGS)}."
    )


def lost_and_found(rng: random.Random) -> str:
    """Lose a thing and find it again."""
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    return (
        f"On {rng.choice(DAYS)} {one} lost {_with_article(rng.choice(QUALITIES))} {thing} near "
        f"the {rng.choice(PLACES)}. {two} found the {thing} under a {rng.choice(FURNITURE)} in "
        f"{rng.choice(TOWNS)} and brought it back. {one} was {rng.choice(FEELINGS)} again."
    )


def dialogue(rng: random.Random) -> str:
    """Let two people talk about a thing."""
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    return (
        f'"Where is my {rng.choice(COLOURS)} {thing}?" asked {one}. "It is on the '
        f'{rng.choice(FURNITURE)} in the {rng.choice(ROOMS)}," said {two}. "Good, then I can '
        f'take it to the {rng.choice(PLACES)} on {rng.choice(DAYS)}," said {one}.'
    )


def match(rng: random.Random) -> str:
    """Report the result of a match."""
    one, two = rng.sample(TEAMS, 2)
    high, low = sorted(rng.sample(range(10), 2), reverse=True)
    return (
        f"The {one} beat the {two} by {_in_words(high)} to {_in_words(low)} in "
        f"{rng.choice(TOWNS)} on {rng.choice(DAYS)}. It was {rng.choice(WEATHER)} and "
        f"{rng.randint(100, 999)} people watched. {rng.choice(NAMES)} was {rng.choice(FEELINGS)}."
    )


PARAGRAPHS: tuple[Paragraph, ...] = (
    walk,
    shopping,
    spelled_sums,
    weather_report,
    schedule,
    sharing,
    room,
    pet,
    postcard,
    train_ride,
    recipe,
    lost_and_found,
    dialogue,
    match,
)


def generate_generic(rng: random.Random, n: int) -> list[str]:
    """Draw paragraphs of everyday text.

    A template is drawn uniformly, then its words. The templates are wide, so repeats are rare, but
    none is drawn again.

    Parameters
    ----------
    rng : random.Random
        Source of all randomness; it is advanced.
    n : int
        Number of paragraphs.

    Returns
    -------
    list of str
        `n` paragraphs of one line each.
    """
    return [rng.choice(PARAGRAPHS)(rng) for _ in range(n)]
