"""Lets end-to-end tests import the newcomer beside them, and what starts Kubernetes."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "kubernetes"))
