"""The `mls` command line: parses, calls, prints; holds no domain logic."""

__all__ = ["__version__"]

__version__ = "0.1.0"
