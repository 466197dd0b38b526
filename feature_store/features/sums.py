"""Exact sums of doubles: the same bits in any order of adding, over their whole range.

A value is cut into four whole numbers, digits to the base 2^30, each of which is added up by itself
as a bigint, which loses nothing: value = sum of digit[i] * 2^(60 * band - 30 * i). The band is such
that the first digit is the whole part of the value there; from 2^-30 to 2^31 it is 0, which is all
that most histories ever see. Bands are two digits apart, so that digits of neighbouring bands stand
at the same places and add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column

BAND = "band"
DIGITS = ("digit_0", "digit_1", "digit_2", "digit_3")
"""From the highest place to the lowest. Up to 2^31 values of a band add up without an overflow."""

_BITS = 30
_BASE = 1 << _BITS
_LARGEST = float(1 << 31)
"""Every int is in band 0, and is its first digit: the smallest of them, -2^31, too."""
_SMALLEST = 1 / _BASE


def band_of(value: Column) -> Column:
    """Return the band of a finite double, as an int."""
    size = F.abs(value)
    is_common = (size <= _LARGEST) & ((size >= _SMALLEST) | (size == 0.0))
    # A logarithm that is off by a rounding is none too many: digits have room to spare.
    by_size = F.floor((F.log2(size) + _BITS) / (2 * _BITS)).cast("int")
    return F.when(is_common, 0).otherwise(by_size)


def scaled(value: Column, band: Column) -> Column:
    """Return a finite double moved into band 0, exactly."""
    # In two steps: 2^1020 times 2^60 would be infinite, and so would its inverse be 0.
    half = F.pow(F.lit(2.0), -_BITS * band)
    return F.when(band == 0, value).otherwise(value * half * half)


def next_value(value: Column) -> Column:
    """Return what is left of a value below its first digit, moved up by one place; exactly."""
    return (value - value.cast("bigint").cast("double")) * float(_BASE)


def places(bands: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
    """Return for each place, from low to high, which digits (band, index) stand there.

    Place p counts 2^(30 * p).
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for band in bands:
        for index in range(len(DIGITS)):
            found.setdefault(2 * band - index, []).append((band, index))
    return dict(sorted(found.items()))


def rounded(totals: Mapping[int, Column]) -> Column:
    """Return the double nearest to sum of total * 2^(30 * place), to within one unit of its last.

    Null where the sum is beyond the largest double, or every total is null.
    """
    digits = _carried(_carried_twice(totals))
    # From the lowest up: after the carries each digit outweighs all below it.
    terms = [_placed(digits[place], place) for place in sorted(digits)]
    total = reduce(lambda left, right: left + right, terms)
    return F.when(F.abs(total) < float("inf"), total)


def _carried_twice(totals: Mapping[int, Column]) -> dict[int, Column]:
    """Cut each total of up to 64 bits in three, so that every place holds less than 2^32."""
    found: dict[int, list[Column]] = {}
    for place, total in totals.items():
        found.setdefault(place, []).append(total.bitwiseAND(F.lit(_BASE - 1)))
        middle = F.shiftright(total, _BITS).bitwiseAND(F.lit(_BASE - 1))
        found.setdefault(place + 1, []).append(middle)
        found.setdefault(place + 2, []).append(F.shiftright(total, 2 * _BITS))
    return {p: reduce(lambda left, right: left + right, parts) for p, parts in found.items()}


def _carried(parts: Mapping[int, Column]) -> dict[int, Column]:
    """Bring each place to within half the base (and a few), above or below zero."""
    carries = {place: F.shiftright(part + _BASE // 2, _BITS) for place, part in parts.items()}
    found: dict[int, list[Column]] = {}
    for place, part in parts.items():
        found.setdefault(place, []).append(part - F.shiftleft(carries[place], _BITS))
        found.setdefault(place + 1, []).append(carries[place])
    return {p: reduce(lambda left, right: left + right, terms) for p, terms in found.items()}


def _placed(digit: Column, place: int) -> Column:
    """Return digit * 2^(30 * place), which may be subnormal or infinite, without 2^1080 itself."""
    half = 2.0 ** (_BITS // 2 * place)
    return digit.cast("double") * half * half
