"""Putting right what the proof found wrong, and nothing else."""

from collections import Counter
from typing import TYPE_CHECKING

from larder.online.writing.swap import replace_if_same
from larder.verify.causes import Cause
from larder.verify.proof import Checked

if TYPE_CHECKING:
    import redis

NOT_REPAIRED: tuple[Cause, ...] = ("ahead", "ttl")
"""A row from after the instant is right sooner or later, and no record carries its ttl."""


def repaired(client: "redis.Redis", checked: Checked) -> Counter[Cause]:
    """Write history's row, or delete the record where history has none; how many entities, by cause.

    A record that a writer has changed since it was compared stays: it is newer than what was found wrong.
    Raises OnlineStoreError when Redis fails; the same repair may then be repeated.
    """
    counts: Counter[Cause] = Counter()
    wrong = [difference for difference in checked.part.differences if difference.cause not in NOT_REPAIRED]
    for cause in dict.fromkeys(difference.cause for difference in wrong):
        places = [difference.place for difference in wrong if difference.cause == cause]
        counts[cause] = replace_if_same(
            client,
            [checked.keys[place] for place in places],
            [checked.stored[place] for place in places],
            checked.records_at(places),
        )
    return counts
