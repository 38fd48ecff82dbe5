"""What the values of the configuration are: money, times, names, each with its bounds, and what a part refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

DEFAULT: Final = "default"
LOOPBACK: Final = "127.0.0.1"


def _decimal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    return Decimal(str(value))


def _float(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


Money = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, allow_inf_nan=False)]
Amount = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, BeforeValidator(_float), Field(ge=0, allow_inf_nan=False)]
Ms = Annotated[int, Field(ge=1, le=3_600_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
InstrumentId = Annotated[str, Field(pattern=r"^[A-Z0-9]+:[A-Z]+:[A-Z0-9]+-[A-Z0-9]+(:[A-Z]+)?$")]
Scalar = Annotated[bool | int | Decimal | str, BeforeValidator(_decimal)]


class Model(BaseModel):
    """A part of the configuration: no unknown key, no value of another type, nothing to change afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
