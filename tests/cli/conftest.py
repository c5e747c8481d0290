"""The command line reads the environment and /etc: here it finds neither."""

import os
from pathlib import Path

import pytest

from consuldns.cli import options


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("CONSUL"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(options, "DEFAULT_FILE", tmp_path / "consuldns.toml")
