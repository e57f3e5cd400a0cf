"""The command groups, one noun a module; each is imported only when one of its commands is named."""

__all__: list[str] = []
