"""Sees when policies undo each other's work on an asset, and for how long it is better left alone.

An asset swings when its last effects alternate between two: A, B, A and now B again, all within a window. The next plan that
would go on with it is held back, longer each time; core policies may act in spite of it (they follow the description), but it
is told.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

__all__ = ["Oscillations"]

#: Assets remembered; beyond that the longest untouched are forgotten.
_REMEMBERED_ASSETS = 20_000
#: Effects after which the next one of the same alternation counts as a swing too many.
_EFFECTS = 3


@dataclass(slots=True)
class _History:
    effects: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=_EFFECTS))
    held_until: float = float("-inf")
    holds: int = 0
    message: str = ""


class Oscillations:
    """Histories of assets; times in seconds of a monotonic clock.

    Args:
        window: Effects longer ago do not count.
        hold: How long a swinging asset is left alone the first time; doubles each time up to `longest`.
        longest: Longest time.
    """

    def __init__(self, window: float, hold: float, longest: float) -> None:
        self._window = window
        self._hold = hold
        self._longest = longest
        self._histories: OrderedDict[str, _History] = OrderedDict()
        self._held: dict[str, _History] = {}

    def objection(self, asset: str, effect: str, policy: str, now: float) -> tuple[str, float]:
        """Say why an asset should not be given this effect now (empty: nothing against it), and for how many seconds."""
        history = self._histories.get(asset)
        if history is None:
            return "", 0.0
        if now < history.held_until:
            return (history.message, history.held_until - now) if self._swings(history, effect, now) else ("", 0.0)
        if history.message and not self._swings(history, effect, now):
            history.message, history.holds = "", 0
        if not self._swings(history, effect, now):
            return "", 0.0
        pause = min(self._longest, self._hold * 2.0**history.holds)
        history.holds += 1
        history.held_until = now + pause
        self._held[asset] = history
        others = sorted({name for _, _, name in history.effects} | {policy})
        first = history.effects[0][0]
        history.message = f"oscillation: {asset} was changed to and fro {_EFFECTS} times in {now - first:.0f} s by {', '.join(others)}"
        return history.message, pause

    def note(self, asset: str, effect: str, policy: str, now: float) -> None:
        """Remember that an asset was given an effect."""
        history = self._histories.setdefault(asset, _History())
        if not history.effects or history.effects[-1][1] != effect:
            history.effects.append((now, effect, policy))
        self._histories.move_to_end(asset)
        while len(self._histories) > _REMEMBERED_ASSETS:
            self._histories.popitem(last=False)

    def conditions(self, now: float) -> list[tuple[str, str]]:
        """Return the assets that are held now, and why."""
        self._held = {asset: item for asset, item in self._held.items() if now < item.held_until}
        return [(asset, item.message) for asset, item in self._held.items()]

    def _swings(self, history: _History, effect: str, now: float) -> bool:
        if len(history.effects) < _EFFECTS or now - history.effects[0][0] > self._window:
            return False
        first, second, third = (item[1] for item in history.effects)
        return first == third and effect == second
