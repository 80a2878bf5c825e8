"""`python -m hanok`, the same as the `hanok` command."""

from hanok.cli import main

if __name__ == "__main__":
    main()
