"""`python -m larder` is the `larder` command."""

from larder.cli import main

if __name__ == "__main__":
    main()
