"""The ways to choose weights that are compared."""

NEWTON = "newton"
FULL_AVERAGE = "full_average"
BEST_SCALE = "best_scale"
BEST_SUBSET = "best_subset"
GREEDY_SOUP = "greedy_soup"
GRADIENT = "gradient"
CMA_ES = "cma_es"
CMA_ES_LONG = "cma_es_long"
QUADRATIC = "quadratic_55"

WAY_TITLES = {
    NEWTON: "Newton steps",
    FULL_AVERAGE: "full average",
    BEST_SCALE: "best scale",
    BEST_SUBSET: "best subset",
    GREEDY_SOUP: "greedy soup",
    GRADIENT: "gradient descent (Adam)",
    CMA_ES: "CMA-ES, cost as Newton",
    CMA_ES_LONG: "CMA-ES, three times its cost",
    QUADRATIC: "quadratic through losses",
}
"""What each is called in tables, the one that is proposed first."""

WAYS = tuple(WAY_TITLES)
"""Their names, as in the column `way`."""

REFERENCES = (FULL_AVERAGE, BEST_SCALE)
"""The ways that stand beside every search."""

IN_STUDY = tuple(way for way in WAYS if way not in (CMA_ES_LONG, QUADRATIC))
"""The ways that stand beside the first search of a study: all but two that cost several times as
much as it, which `mergelaw optimize --baselines` tries."""
