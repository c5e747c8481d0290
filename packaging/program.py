"""What the standalone binary starts: the command line."""

from consuldns.cli import main

if __name__ == "__main__":
    main(prog_name="consuldns")
