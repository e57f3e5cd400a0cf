"""``python -m mlsysops_cli`` is `mls`."""

from mlsysops_cli.main import main

if __name__ == "__main__":
    main()
