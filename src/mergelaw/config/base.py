"""What config sections share: frozen, unknown keys refused, names fit for paths."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A name that is also a folder's or file's name: letters, digits, '_', '.', '-'."""

Fraction = Annotated[float, Field(gt=0, le=1)]
"""A share of a whole, above 0 and at most 1."""


class Section(BaseModel):
    """Base of all config sections."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
