"""A dict whose values are worked out when somebody looks at them, once each."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, ValuesView
from typing import Any, TypeVar

__all__ = ["LazyDict"]

_V = TypeVar("_V")


class LazyDict(dict[str, _V]):
    """Looks like any dict, also to ``json``, ``pickle`` and ``copy``, for which it becomes an ordinary one.

    Args:
        keys: The keys.
        make: Returns the value of a key.
    """

    def __init__(self, keys: Iterable[str], make: Callable[[str], _V]) -> None:
        # Whoever goes past the methods below sees keys, in their order.
        super().__init__(dict.fromkeys(keys))  # type: ignore[arg-type]  # values come when they are looked at
        self._unseen = set(super().keys())
        self._make = make

    def __getitem__(self, key: str) -> _V:
        if key in self._unseen:
            self[key] = self._make(key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: _V) -> None:
        self._unseen.discard(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._unseen.discard(key)
        super().__delitem__(key)

    def __iter__(self) -> Iterator[str]:
        # Being there, it keeps ``dict(…)`` and ``{**…}`` from copying what nobody has looked at.
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        return self.copy() == (other.copy() if isinstance(other, LazyDict) else other)

    __hash__ = None  # as any dict

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any dict."""
        return self[key] if key in self else default  # noqa: SIM401 - this is what `get` is

    def pop(self, key: str, *default: Any) -> Any:
        """As of any dict."""
        if key in self:
            self[key]
        self._unseen.discard(key)
        return super().pop(key, *default)

    def items(self) -> ItemsView[str, _V]:  # type: ignore[override]  # a view of another dict
        """As of any dict."""
        return self.copy().items()

    def values(self) -> ValuesView[_V]:  # type: ignore[override]  # as above
        """As of any dict."""
        return self.copy().values()

    def copy(self) -> dict[str, _V]:
        """Return an ordinary dict with all values."""
        return {key: self[key] for key in self}
