"""Writes man pages and shell completions, made of the commands themselves.

python packaging/share.py FOLDER    FOLDER/man/man1, FOLDER/bash-completion/completions, ...
"""

import subprocess
import sys
from pathlib import Path

import click
from click_man.core import write_man_pages

from consuldns.cli import main

COMPLETIONS = {
    "bash": "bash-completion/completions/consuldns",
    "zsh": "zsh/site-functions/_consuldns",
    "fish": "fish/vendor_completions.d/consuldns.fish",
}


def write(folder: Path) -> None:
    """Write all files."""
    assert isinstance(main, click.Group)
    pages = folder / "man" / "man1"
    pages.mkdir(parents=True, exist_ok=True)
    with click.Context(main) as context:  # commands are imported when they are used: all now
        main.commands = {
            name: command
            for name in main.list_commands(context)
            if (command := main.get_command(context, name)) is not None
        }
    write_man_pages("consuldns", main, target_dir=str(pages))
    for shell, path in COMPLETIONS.items():
        command = [sys.executable, "-m", "consuldns", "completion", shell]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(done.stdout)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
