"""Quantities as a scenario writes them: numbers with units, ratios, token limits.

Each type is the number itself (a `float`, a `Fraction`) or the checked text, in base units:
bit/s, bytes, seconds, bytes/s. `str()` gives the text that parses back to the same value.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Self

import quantiphy
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
PREFIXES = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}


class UnitError(ValueError):
    """A quantity that cannot be read; `problem` and `remedy` complete the sentence."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}")


class Physical(float):
    """A positive, finite quantity with a unit; subclasses say which.

    Class attributes:
        units: accepted spellings of the base unit, the first is the one written.
        example: a good value, shown in error messages.
        zero: whether it may be 0.
    """

    units: ClassVar[tuple[str, ...]]
    example: ClassVar[str]
    zero: ClassVar[bool] = False

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read text such as "400 Gbit/s".

        Raises:
            UnitError: no number, no unit, the wrong unit, not positive or not finite.
        """
        remedy = f'write e.g. "{cls.example}"'
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            raise UnitError("has no unit", remedy)
        if not isinstance(raw, str):
            raise UnitError("is not a quantity", remedy)
        value, unit = _number_and_unit(raw, remedy)
        if not unit:
            raise UnitError("has no unit", remedy)
        if unit not in cls.units:
            raise UnitError(f"is not in {cls.units[0]}", remedy)
        if not (math.isfinite(value) and (value > 0 or (cls.zero and value == 0))):
            least = "0 or more" if cls.zero else "positive"
            raise UnitError(f"is not {least} and finite", remedy)
        return cls(value)

    def __str__(self) -> str:
        # decimal digits are shifted, not divided, so that parsing gives the same float
        number = Decimal(repr(float(self)))
        exponent = min(max(number.adjusted() // 3 * 3, -9), 15) if number else 0
        return f"{_plain(number.scaleb(-exponent))} {PREFIXES[exponent]}{self.units[0]}"


class Bandwidth(Physical):
    """A link or NIC rate, bit/s."""

    units = ("bit/s", "b/s", "bps")
    example = "400 Gbit/s"


class ByteRate(Physical):
    """A memory rate, bytes/s."""

    units = ("B/s",)
    example = "500 GB/s"


class Size(Physical):
    """An amount of data, bytes; both GB (10^9) and GiB (2^30) are read."""

    units = ("B",)
    example = "80 GB"


class Duration(Physical):
    """A time, model seconds."""

    units = ("s",)
    example = "300 ms"


class Moment(Duration):
    """A point in time, or a time that may be none at all, model seconds from 0 on."""

    example = "0 s"
    zero = True


_PER_S = "Hz"


class Rate(Physical):
    """Agents that arrive a second."""

    units = (_PER_S,)
    example = "0.45 /s"

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read text such as "0.45 /s".

        Raises:
            UnitError: as of any quantity.
        """
        if isinstance(raw, str):
            number, slash, per = raw.partition("/")
            if slash and per.strip() == "s":
                # a unit that begins with a slash is none to the library that reads them
                raw = f"{number}{_PER_S}"
            elif slash or not raw.rstrip()[-1:].isdigit():
                raise UnitError("is not in /s", f'write e.g. "{cls.example}"')
        return super().parse(raw)

    def __str__(self) -> str:
        return f"{float(self)!r} /s"


class Level(Rate):
    """A rate that may be 0 for a while."""

    zero = True


class Ratio(Fraction):
    """An exact positive ratio: "1/8", "1:8" and 0.125 are the same."""

    example: ClassVar[str] = "1/8"

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read a ratio.

        Raises:
            UnitError: not of the form a/b, a:b or a plain number, or not positive.
        """
        number = r"\d{1,9}(?:\.\d{1,9})?"
        text = str(raw) if not isinstance(raw, bool) else ""
        match = re.fullmatch(rf"({number})\s*(?:[/:]\s*({number}))?", text.strip(), re.ASCII)
        if match is None:
            raise UnitError("is not a ratio", f'write e.g. "{cls.example}"')
        above, below = Fraction(match[1]), Fraction(match[2] or 1)
        if not (above > 0 and below > 0):
            raise UnitError("is not positive", f'write e.g. "{cls.example}"')
        return cls(above / below)


class TokenLimit(str):
    """A number of tokens, or the time in which an engine gets through them.

    Paper section 4 defines alpha and beta as times (3 s of reading, 5 s of computing).
    """

    __slots__ = ()
    example: ClassVar[str] = "3 s"

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read "3 s", "40 ktokens" or a plain number of tokens.

        Raises:
            UnitError: neither a positive time nor a positive number of tokens.
        """
        remedy = 'write a time, e.g. "3 s", or tokens, e.g. 40000'
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            raw = f"{raw} tokens"
        if not isinstance(raw, str):
            raise UnitError("is not a token limit", remedy)
        value, unit = _number_and_unit(raw, remedy)
        if unit not in ("s", "tokens") or not (math.isfinite(value) and value > 0):
            raise UnitError("is not a token limit", remedy)
        return cls(raw)

    def tokens(self, tokens_per_s: float) -> float:
        """The limit in tokens, for an engine that gets through `tokens_per_s`."""
        value, unit = _number_and_unit(str(self), "")
        return value * tokens_per_s if unit == "s" else value


class AutoBandwidth(str):
    """A `Bandwidth`, or "auto" where the testbed derives it."""

    __slots__ = ()
    example: ClassVar[str] = "auto"

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read "auto" or a bandwidth.

        Raises:
            UnitError: neither.
        """
        return cls("auto" if raw == "auto" else str(Bandwidth.parse(raw)))

    def bps(self, auto: float) -> float:
        """The rate, bit/s; `auto` is what "auto" stands for."""
        return auto if self == "auto" else Bandwidth.parse(str(self))


class Percent(Physical):
    """A share of something, per cent.

    Attributes:
        share: the same from 0 to 1.
    """

    units = ("%",)
    example = "10 %"

    @property
    def share(self) -> float:
        return float(self) / 100

    def __str__(self) -> str:
        return f"{_plain(Decimal(repr(float(self))))} %"


class When(str):
    """A moment of a run: a time, or when so many of all requests are done."""

    __slots__ = ()
    example: ClassVar[str] = "20 s"

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read "20 s" or "30 %".

        Raises:
            UnitError: neither a time from 0 on nor a share up to 100 %.
        """
        remedy = 'write a time, e.g. "20 s", or a share of all requests, e.g. "30 %"'
        try:
            if isinstance(raw, str) and raw.rstrip().endswith("%"):
                found: Physical = Percent.parse(raw)
                if found > 100:
                    raise UnitError("is more than all requests", remedy)
            else:
                found = Moment.parse(raw)
        except UnitError as error:
            raise UnitError(error.problem, remedy) from None
        return cls(str(found))

    @property
    def share(self) -> float | None:
        """Of all requests, 0 to 1; None where it is a time."""
        return Percent.parse(str(self)).share if self.endswith("%") else None

    @property
    def time_s(self) -> float:
        """Model seconds since the run's start; 0 where it is a share."""
        return 0.0 if self.endswith("%") else float(Moment.parse(str(self)))


QUANTITIES = (
    Bandwidth,
    ByteRate,
    Size,
    Duration,
    Moment,
    Rate,
    Level,
    Ratio,
    TokenLimit,
    AutoBandwidth,
    Percent,
    When,
)


def decode(kind: type, raw: object) -> object:
    """The `dec_hook` of msgspec for the types of this module.

    Raises:
        UnitError: `raw` is not a quantity of that kind.
        NotImplementedError: `kind` is not of this module.
    """
    for quantity in QUANTITIES:
        if kind is quantity:
            return quantity.parse(raw)
    raise NotImplementedError(kind)


def _number_and_unit(text: str, remedy: str) -> tuple[float, str]:
    try:
        quantity = quantiphy.Quantity(text, binary=True)
    except (quantiphy.QuantiPhyError, ValueError, OverflowError):
        raise UnitError("is not a number with a unit", remedy) from None
    return float(quantity), str(quantity.units)


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(text: str) -> int:
    """A whole number from 1 on, as a command line has it.

    Raises:
        ValueError: it is none.
    """
    number = int(text)
    if number < 1:
        raise ValueError(f"{text} is less than 1")
    return number
