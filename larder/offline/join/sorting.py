"""Sorting by key and instant."""

import numpy as np

from larder.offline.join.keys import Integers

_BITS = 63
"""Of an integer that must not be negative."""


def sorted_rows(ids: Integers, instants: Integers) -> Integers:
    """Row numbers in order of id, then instant, then row. Ids are not negative."""
    if not len(ids):
        return ids
    row_bits, id_bits = len(ids).bit_length(), int(ids.max()).bit_length()
    since, instant_bits = _since(instants)
    # Id, instant and row in one integer: sorting it takes a third of the time of an argsort. What it lacks are the
    # low bits of an instant; the few rows that share all the others are sorted once more.
    shift = max(row_bits + id_bits + instant_bits - _BITS, 0)
    packed = ids << (instant_bits - shift)
    if instant_bits:
        packed |= since >> shift
    packed <<= row_bits
    packed |= np.arange(len(ids))
    packed.sort()
    rows = packed & ((1 << row_bits) - 1)
    if shift:
        packed >>= row_bits
        is_shared = packed[1:] == packed[:-1]
        shared = np.flatnonzero(np.append(is_shared, False) | np.append(False, is_shared))
        unsorted = rows[shared]
        rows[shared] = unsorted[np.lexsort((unsorted, instants[unsorted], ids[unsorted]))]
    return rows


def _since(instants: Integers) -> tuple[Integers, int]:
    """Instants from the first one on, and how many bits they need: none where rows are in order of time already."""
    if (instants[1:] >= instants[:-1]).all():
        return instants, 0
    since = instants - instants.min()
    return since, int(since.max()).bit_length()
