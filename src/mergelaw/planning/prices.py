"""What a plan is paid in: prices of device-hours and what is served, from a small YAML file."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mergelaw.config.base import Section
from mergelaw.config.load import mapping_of, read_yaml, validate_sections
from mergelaw.errors import ConfigError, listing
from mergelaw.planning.law_file import Costs, LawFile

DEVICE_HOURS = "device-hours"
"""The unit of costs where no price is given."""

Positive = Annotated[float, Field(gt=0)]
Hours = Annotated[float, Field(ge=0)]


class SizeHours(Section):
    """Device-hours at one size, in the place of the law file's; null: the law file's."""

    train_expert: Hours | None = Field(None, description="Fine-tuning of one expert.")
    train_multitask: Hours | None = Field(None, description="Fine-tuning on all domains.")
    merge: Hours | None = Field(None, description="One merge of any number of experts.")
    evaluate: Hours | None = Field(None, description="Scoring one merge on all domains.")
    serve_per_billion_tokens: Hours | None = Field(None, description="Serving a merged model.")


class Prices(Section):
    """Prices of one plan."""

    currency: str = Field(DEVICE_HOURS, description="What prices are in; a word.")
    device_hour: dict[str, Positive] = Field(
        {}, description="Price of an hour by device, as the law file names it; none: hours count."
    )
    experts: Literal["to_train", "at_hand"] = Field(
        "to_train", description="Whether experts are still to be trained, or cost nothing."
    )
    evaluations: int = Field(1, ge=0, description="Merges that are scored on the way to one plan.")
    serve_billions_of_tokens: float = Field(0.0, ge=0, description="Tokens served afterwards.")
    hours: dict[str, SizeHours] = Field(
        {}, description="Hours by size, where you know better than the law file."
    )
    device: str | None = Field(None, description="What `hours` are of, where the file names none.")


def read_prices(path: Path) -> Prices:
    """Read prices.

    Raises
    ------
    ConfigError
        If the file is missing or no YAML, or has keys that are unknown or out of range: a price of
        zero or below, for example. All are listed.
    """
    raw = mapping_of("keys", read_yaml(path), str(path))
    values, problems = validate_sections(Prices, raw)
    problems += _cross_problems(values)
    if problems:
        raise ConfigError(listing(str(path), problems))
    return Prices.model_validate(raw)


def _cross_problems(values: Mapping[str, Any]) -> Iterator[str]:
    priced, currency = values.get("device_hour"), values.get("currency")
    if priced == {} and currency not in (None, DEVICE_HOURS):
        yield (
            f"currency = {currency!r}: device_hour gives no price in it; name the price of an hour "
            "of each device"
        )
    if priced and currency == DEVICE_HOURS:
        yield "device_hour: has prices, and `currency` does not say in what; name it"


def price_problems(prices: Prices, file: LawFile) -> list[str]:
    """Return which prices the laws' sizes and devices do not go with."""
    sizes = [size.name for size in file.sizes]
    problems = [
        f"hours.{name}: the laws have no such size; one of {', '.join(sizes)}"
        for name in prices.hours
        if name not in sizes
    ]
    problems += _own_devices(prices, file)
    devices = sorted({costs.device for size in file.sizes if (costs := size.costs)})
    if prices.device_hour:
        problems += [
            f"device_hour: has no price for {name}, which hours of {file.name} are of"
            for name in devices
            if name not in prices.device_hour
        ]
    elif len(devices) > 1:
        problems.append(
            f"device_hour: is needed, because hours are of several devices: {', '.join(devices)}"
        )
    return [f"prices: {problem}" for problem in problems]


def _own_devices(prices: Prices, file: LawFile) -> Iterator[str]:
    """Yield sizes whose hours are of no device that has a price."""
    for size in file.sizes:
        told = size.costs is None and size.name in prices.hours
        if told and prices.device_hour and prices.device not in prices.device_hour:
            yield (
                f"device: hours.{size.name} are of no device that the laws name; give one of "
                f"{', '.join(prices.device_hour)}"
            )


def hours_of(prices: Prices, size: str, costs: Costs | None) -> Costs | None:
    """Return the hours of a size with those of the prices in the place of the law file's."""
    own = prices.hours.get(size)
    if own is None:
        return costs
    start = costs or Costs(device=prices.device or "your device", source="prices")
    told = own.model_dump(exclude_none=True)
    if own.merge is not None:
        told |= {"merge_per_expert": 0.0, "merge_by_method": {}}
    return start.model_copy(update=told | {"source": f"{start.source}; yours where given"})


def given_prices(
    path: Path | None, serve_tokens: float | None
) -> tuple[Prices | None, tuple[str, ...]]:
    """Return the prices of a file with so many tokens to serve, and what is wrong with either.

    None where nothing is given, or what is given cannot be used.
    """
    if path is None and serve_tokens is None:
        return None, ()
    prices, problems = Prices(), []
    try:
        prices = prices if path is None else read_prices(path)
    except ConfigError as error:
        problems.append(str(error).replace("\n", "\n  "))
    if serve_tokens is not None and not 0 <= serve_tokens < math.inf:
        problems.append(f"--serve {serve_tokens:g}: must be a number of tokens, at least 0")
    if problems:
        return None, tuple(problems)
    if serve_tokens is None:
        return prices, ()
    return prices.model_copy(update={"serve_billions_of_tokens": serve_tokens / 1e9}), ()
