"""Sees when policies undo each other's work on an asset, and for how long it is better left alone.

An asset swings when its effects go round in a circle of a few: A, B, A and now B again, or A, B, C, A, B and now C. Two rounds
within the window are enough; slower circles need a round more for every doubling of the time, up to a limit beyond which it is
a rhythm (day and night) and no swing. The next plan that would go on with it is held back, longer each time; core policies may
act in spite of it (they follow the description), but it is told.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Oscillations"]

#: Assets remembered; beyond that the longest untouched are forgotten.
_REMEMBERED_ASSETS = 20_000
#: Effects remembered of one asset: four rounds of the longest circle that is looked for.
_EFFECTS = 24
_LONGEST_CIRCLE = 6
#: Most rounds that are waited for: the window is then sixteen times as long (four hours, where it is 15 minutes).
_MOST_ROUNDS = 6


@dataclass(slots=True)
class _History:
    #: Monotonic time, what the asset became (a digest of it), and by whom.
    effects: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=_EFFECTS))
    held_until: float = float("-inf")
    holds: int = 0
    message: str = ""
    #: What it went round in when it was left alone.
    circle: frozenset[str] = frozenset()


class Oscillations:
    """Histories of assets; times in seconds of a monotonic clock.

    Args:
        window: Two rounds of a circle that took longer do not count.
        hold: How long a swinging asset is left alone the first time; doubles each time up to `longest`.
        longest: Longest time; an asset that kept still for so long after it was left alone begins afresh.
        keep: Called with an asset that is left alone from now on, and what `restore` needs to know of it.
    """

    def __init__(
        self,
        window: float,
        hold: float,
        longest: float,
        *,
        keep: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._window = window
        self._hold = hold
        self._longest = longest
        self._keep = keep
        self._histories: OrderedDict[str, _History] = OrderedDict()
        self._held: dict[str, _History] = {}

    def objection(self, asset: str, effect: str, policy: str, now: float) -> tuple[str, float]:
        """Say why an asset should not be given this effect now (empty: nothing against it), and for how many seconds."""
        history = self._histories.get(asset)
        if history is None:
            return "", 0.0
        digest = _digest(effect)
        if now < history.held_until and digest in history.circle and digest != history.effects[-1][1]:
            return history.message, history.held_until - now
        began = self._swings(history, digest, now)
        if began is None:
            return "", 0.0
        if now > history.held_until + self._longest:
            history.holds = 0
        pause = min(self._longest, self._hold * 2.0**history.holds)
        history.holds += 1
        history.held_until = now + pause
        self._held[asset] = history
        changes = [item for item in history.effects if item[0] >= began]
        others = sorted({name for _, _, name in changes} | {policy})
        history.circle = frozenset(what for _, what, _ in changes) | {digest}
        history.message = f"oscillation: {asset} was changed to and fro {len(changes)} times in {now - began:.0f} s by {', '.join(others)}"
        if self._keep is not None:
            self._keep(asset, _state(history, now))
        return history.message, pause

    def note(self, asset: str, effect: str, policy: str, now: float) -> None:
        """Remember that an asset was given an effect."""
        history = self._histories.setdefault(asset, _History())
        digest = _digest(effect)
        if not history.effects or history.effects[-1][1] != digest:
            history.effects.append((now, digest, policy))
        self._histories.move_to_end(asset)
        while len(self._histories) > _REMEMBERED_ASSETS:
            self._held.pop(self._histories.popitem(last=False)[0], None)

    def conditions(self, now: float) -> list[tuple[str, str]]:
        """Return the assets that are held now, and why."""
        self._held = {asset: item for asset, item in self._held.items() if now < item.held_until}
        return [(asset, item.message) for asset, item in self._held.items()]

    def restore(self, asset: str, state: Mapping[str, Any], now: float, elapsed: float) -> bool:
        """Take up what an earlier process kept of an asset.

        Args:
            asset: The asset.
            state: What was kept.
            now: Monotonic time in seconds.
            elapsed: Seconds since it was kept.

        Returns:
            Whether it still matters.
        """
        history = _History(
            held_until=now + float(state["hold"]) - elapsed,
            holds=int(state["holds"]),
            message=str(state["message"]),
            circle=frozenset(map(str, state["circle"])),
        )
        history.effects.extend((now - elapsed - float(ago), str(what), str(who)) for ago, what, who in state["effects"])
        if now > history.held_until + self._longest:
            return False
        self._histories[asset] = history
        if now < history.held_until:
            self._held[asset] = history
        return True

    def _swings(self, history: _History, digest: str, now: float) -> float | None:
        """Return when the rounds began that this effect would close, None where it closes none."""
        effects = [*((when, what) for when, what, _ in history.effects), (now, digest)]
        if len(effects) < 4 or effects[-2][1] == digest:
            return None
        for length in range(2, min(_LONGEST_CIRCLE, len(effects) // 2) + 1):
            window = self._window
            for rounds in range(2, min(_MOST_ROUNDS, len(effects) // length) + 1):
                last, before = (rounds - 1) * length, rounds * length
                if any(
                    effects[-1 - i][1] != effects[-1 - i - length][1] for i in range(last - length, before - length)
                ):
                    break  # the round before was another one
                if now - effects[-before][0] <= window:
                    return effects[-before][0]
                window *= 2
        return None


def _digest(effect: str) -> str:
    """Stand for an effect, which may be as long as a command, in few bytes."""
    return hashlib.blake2b(effect.encode(), digest_size=8).hexdigest()


def _state(history: _History, now: float) -> dict[str, Any]:
    return {
        "hold": history.held_until - now,
        "holds": history.holds,
        "message": history.message,
        "circle": sorted(history.circle),
        "effects": [[now - when, what, who] for when, what, who in history.effects],
    }
