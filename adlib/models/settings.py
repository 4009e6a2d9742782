"""How settings are declared: a frozen dataclass, its ranges in its types, errors of one line."""

import difflib
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import wraps
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field, ValidationError, dataclasses, model_validator

C = TypeVar("C", bound=type)
# A whole number stays one: the identity of a run tells 1 from 1.0.
Number = int | float
Count = Annotated[int, Field(ge=1)]
Share = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
Weight = Annotated[Number, Field(ge=0)]
Decay = Annotated[Number, Field(ge=0, lt=1)]  # of a running average
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def declared(cls: C) -> C:
    """Class decorator: make a frozen dataclass that refuses values outside its declaration.

    Building one raises a TypeError for an unknown name and a ValueError for a bad value. Both name
    the setting and what is allowed.
    """
    cls = dataclasses.dataclass(frozen=True, config={"strict": True})(cls)
    initialise = cls.__init__

    @wraps(initialise)
    def checked(self: object, *values: object, **named: object) -> None:
        names = [field.name for field in fields(cls)]
        for name in named:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f". Did you mean {close[0]}?" if close else ""
                owner = cls.__name__.removesuffix("Settings")
                raise TypeError(f"{owner} has no setting {name}; it has {', '.join(names)}{hint}")
        try:
            initialise(self, *values, **named)
        except ValidationError as error:
            given = dict(zip(names, values, strict=False)) | named
            raise ValueError(_in_words(cls, error.errors(), given)) from None

    cls.__init__ = checked
    return cls


def _in_words(cls: type, errors: list[dict], given: dict[str, object]) -> str:
    """The first thing that is wrong: setting, value and what is allowed."""
    first, *others = errors
    if first["type"] == "value_error":  # a validator of this package raised it
        return str(first["ctx"]["error"])
    place = first["loc"][0]  # a name, or the position of a value given without one
    name = fields(cls)[place].name if isinstance(place, int) else place
    if first["type"] == "literal_error":
        allowed = "allowed are " + first["ctx"]["expected"].replace(" or ", ", ")
    elif first["type"] in ("greater_than_equal", "greater_than", "less_than_equal", "less_than"):
        limits = cls.__pydantic_fields__[name].metadata
        parts = [f"{LIMITS[k]} {getattr(m, k)}" for m in limits for k in LIMITS if hasattr(m, k)]
        allowed = "allowed is " + " and ".join(parts)
    else:  # of a union the last member is the widest
        last = [first, *(e for e in others if e["loc"][0] == place)][-1]
        allowed = last["msg"].replace("Input should be", "it should be")
    return f"{name}={given[name]!r}: {allowed}"


@declared
class Settings:
    """What all detectors share.

    Attributes:
        side: side of the square image in pixels.
        channels: 1 (grey) or 3 (colour, or grey repeated).
        patch: side of the patches the network sees in pixels; 0 means the whole image.
        rotation: smallest and largest clockwise rotation in degrees, drawn anew for every training
            image; `(0, 0)` switches it off.
        learning_rate: Adam's step size.
        sides: of what the network sees, in pixels: those that its layers fit.
    """

    side: Count = 128
    channels: Literal[1, 3] = 3
    patch: Annotated[int, Field(ge=0)] = 0
    rotation: Annotated[tuple[Number, ...], Field(strict=False)] = (0.0, 0.0)
    learning_rate: Positive = 1e-4
    sides: ClassVar[Sequence[int]] = range(1, sys.maxsize)

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.patch and self.side % self.patch:
            raise ValueError(f"patch={self.patch} does not divide side={self.side}")
        if self.input_side not in self.sides:
            which = f"patch={self.patch}" if self.patch else f"side={self.side}"
            raise ValueError(
                f"{which}: the network sees {self.input_side} px; allowed are "
                f"{_in_pixels(self.sides)}"
            )
        if len(self.rotation) != 2 or self.rotation[0] > self.rotation[1]:
            raise ValueError(f"rotation={self.rotation}: give (smallest, largest) in degrees")
        return self

    @property
    def input_side(self) -> int:
        """Side in pixels of what the network sees."""
        return self.patch or self.side


def _in_pixels(sides: Sequence[int]) -> str:
    if not isinstance(sides, range):
        return ", ".join(map(str, sides))
    end = "on" if sides.stop == sys.maxsize else f"to {sides[-1]}"
    return f"multiples of {sides.step} from {sides.start} {end}"
