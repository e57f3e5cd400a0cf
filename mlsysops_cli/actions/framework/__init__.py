"""What the commands of `mls framework` do; imported only when one of them runs."""

__all__: list[str] = []
