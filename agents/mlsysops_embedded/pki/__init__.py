"""The certificate authority of a control plane and everything it signs."""

from __future__ import annotations

from mlsysops_embedded.pki.bootstrap import bootstrap

__all__ = ["bootstrap"]
