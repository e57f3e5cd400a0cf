"""Structural schemas: decoding, pruning, defaulting, validation; the built-in schemas and custom definitions."""
