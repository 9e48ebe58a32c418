"""Building blocks of all sections of the configuration."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from sparsevq.config.wording import leaves


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

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic takes true for 1; YAML reads on, off, yes and no as true and false."""
        kinds = leaves(cls.model_fields[str(info.field_name)].annotation)
        if (
            kinds & {int, float}
            and bool not in kinds
            and any(isinstance(part, bool) for part in (value, *_entries(value)))
        ):
            raise PydanticCustomError("number_type", "no truth value")
        return value


def _entries(value: Any) -> Iterator[Any]:
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield part
        yield from _entries(part)
