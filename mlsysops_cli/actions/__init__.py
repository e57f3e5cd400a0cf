"""What the commands do, apart from their options; imported only when a command runs."""

__all__: list[str] = []
