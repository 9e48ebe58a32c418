"""Building blocks of all sections of the configuration."""

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check that no value is given twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} is named more than once")
    return values


Sweep = (Field(min_length=1), AfterValidator(each_once))
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Moment = Annotated[float | str, BeforeValidator(lambda value: value.isoformat() if isinstance(value, date) else value)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """A part of the configuration: an unknown key is an error, and so is a value of the wrong type."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
