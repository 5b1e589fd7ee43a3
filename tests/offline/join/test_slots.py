"""Where rows of history belong among requests, against a plain search."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.offline.join.keys import NONE, Integers
from larder.offline.join.slots import Slots

# Near and far apart, so that instants of one key share a code whose low bits are left out.
instants = st.one_of(st.integers(0, 40), st.integers(-(10**17), 10**17), st.integers(10**17, 10**17 + 40))
points = st.lists(st.tuples(st.integers(NONE, 3), instants), max_size=30)


def columns(pairs: list[tuple[int, int]]) -> tuple[Integers, Integers]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


@settings(deadline=None, max_examples=300)
@given(points, points)
def test_a_row_goes_to_the_first_request_of_its_key_that_sees_it(
    requests: list[tuple[int, int]], rows: list[tuple[int, int]]
):
    found, slots = (array.tolist() for array in Slots(*columns(requests), keys=4).of(*columns(rows)))

    asked = sorted(request for request in requests if request[0] != NONE)
    expected = {}
    for number, (key, visible) in enumerate(rows):
        seeing = [slot for slot, (other, at) in enumerate(asked) if other == key and at >= visible]
        if seeing:
            expected[number] = seeing[0]
    assert dict(zip(found, slots, strict=True)) == expected
    assert found == sorted(found)


def test_slots_point_back_at_their_requests():
    slots = Slots(np.array([1, NONE, 0, 1]), np.array([5, 5, 9, 3]), keys=2)

    assert slots.requests.tolist() == [2, 3, 0]
    assert slots.first.tolist() == [0, 1, 1]
