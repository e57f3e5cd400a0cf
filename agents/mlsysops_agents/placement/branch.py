"""The best plan for a few items: depth first, with a bound that the shape of the objective gives for nothing.

Branch and bound (Land and Doig, "An automatic method of solving discrete programming problems", 1960). Balance and spread are
supermodular: what an item costs on a host never falls while others join it; and pairs cost nothing less than nothing. So what
each item would cost now on its cheapest host is, summed up, a lower bound of what all of them will cost. The next item is the one
that has most to lose by not getting its cheapest host (regret, as in Martello and Toth, "An algorithm for the generalized
assignment problem", 1981).
"""

from __future__ import annotations

from collections.abc import Sequence

from .problem import NOWHERE
from .state import State

__all__ = ["complete"]

_NO_CHOICE = 1 << 60


def complete(
    state: State, places: Sequence[Sequence[int]], items: Sequence[int], below: int, looks: int
) -> tuple[list[int] | None, bool]:
    """Find the cheapest hosts for items that have none, all others staying where they are.

    Args:
        state: The plan in the making; it is the same afterwards.
        places: Hosts that each of the items may have.
        items: The items.
        below: What the places found must cost less than.
        looks: How many looks at a host the search may take.

    Returns:
        Host of each of the items, or None where nothing cheaper was found; and whether the search was complete.
    """
    hosts_of = dict(zip(items, places, strict=True))
    found: list[int] | None = None
    last = state.evaluations + looks
    complete = True

    def search(cost: int, left: Sequence[int]) -> None:
        nonlocal found, below, complete
        if not left:
            if cost < below:
                found, below = [state.at[item] for item in items], cost
            return
        if state.evaluations >= last:
            complete = False
            return
        bound, chosen, most, cheapest = cost, NOWHERE, -1, 0
        options: list[tuple[int, int]] = []
        for item in left:
            prices = state.costs(item, hosts_of[item])
            if not prices:
                return
            low, regret = _regret(prices)
            bound += low
            if bound >= below:
                return
            if regret > most:
                chosen, most, cheapest, options = item, regret, low, prices
        rest = [item for item in left if item != chosen]
        others = bound - cheapest
        for host, price in sorted(options, key=lambda option: option[1]):
            if others + price >= below:
                break
            state.add(chosen, host)
            search(cost + price, rest)
            state.remove(chosen)

    search(0, items)
    return found, complete


def _regret(prices: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the lowest price, and how much more the second lowest is."""
    if len(prices) == 1:
        return prices[0][1], _NO_CHOICE
    low = second = _NO_CHOICE
    for _, price in prices:
        if price < low:
            low, second = price, low
        elif price < second:
            second = price
    return low, second - low
