"""`python -m mergelaw`."""

from mergelaw.cli import main

if __name__ == "__main__":
    main()
