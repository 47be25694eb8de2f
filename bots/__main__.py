"""`python -m bots`: the same as the command `banter`."""

from bots.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
