"""The Kubernetes release whose API the engine follows, and which its control planes and nodes say they are."""

from __future__ import annotations

from typing import Final

__all__ = ["GIT_VERSION", "KUBERNETES", "MINOR"]

#: What the contract tests were last held against; the newest API served (`pods/resize` with its generations) is of it.
KUBERNETES: Final = "1.36.2"
MINOR: Final = KUBERNETES.split(".")[1]
#: With build metadata, as distributions have it: a pre-release would be older than 1.36.2 to who compares versions.
GIT_VERSION: Final = f"v{KUBERNETES}+embedded"
