"""`python -m consuldns`, the same as the `consuldns` command."""

from consuldns.cli import main

if __name__ == "__main__":
    main(prog_name="consuldns")
