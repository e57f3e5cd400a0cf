"""Kubernetes API machinery that knows no server: selectors, patches, field ownership, resources, tables."""
