"""How far one distribution is from another: the population stability index.

PSI below 0.1 is commonly read as no change and above 0.25 as a change to look at; but a small day
differs from any reference by chance, and `psi_by_chance` says by how much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_SMOOTHING = 0.5


def psi(reference: ArrayLike, day: ArrayLike) -> float:
    """Return the population stability index of two histograms over the same bins.

    Half a row is added to every bin, so that an empty one gives a finite figure.
    """
    import numpy as np

    p, q = _shares(reference), _shares(day)
    return float(((q - p) * np.log(q / p)).sum())


def psi_by_chance(reference_rows: int, day_rows: int, bins: int) -> float:
    """Return the mean PSI of two samples of the same distribution: (bins - 1)(1/n + 1/m)."""
    if not reference_rows or not day_rows:
        return 0.0
    return (bins - 1) * (1 / reference_rows + 1 / day_rows)


def merged(
    reference: ArrayLike, day: ArrayLike, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return two histograms over fewer, wider bins: about equal masses of the reference.

    A fine bin that holds such a mass alone stays alone, and so does what lies below, between and
    above them: rows where the reference has none are not lost in a bin that it fills.

    Args:
        reference: rows in fine bins, in order.
        day: rows in the same bins.
        most: masses that the reference is dealt out to; there are at most about twice as many bins.
    """
    import numpy as np

    fine, other = np.asarray(reference, np.int64), np.asarray(day, np.int64)
    starts, held, wanted = [0], 0, fine.sum() / most
    for place, count in enumerate(fine):
        if place > starts[-1] and (held >= wanted or count >= wanted):
            starts.append(place)
            held = 0
        held += int(count)
    return np.add.reduceat(fine, starts), np.add.reduceat(other, starts)


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    smooth = np.asarray(counts, dtype=np.float64) + _SMOOTHING
    shares: NDArray[np.float64] = smooth / smooth.sum()
    return shares
