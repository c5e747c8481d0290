"""What is rendered from the schema."""

import tomllib
from pathlib import Path

from consuldns.config import reference
from consuldns.config.load import load
from consuldns.config.schema import declared

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    hint = "write it again: consuldns config reference > docs/reference/configuration.md"
    assert PAGE.read_text() == reference.markdown(), hint


def test_every_setting_is_described_by_a_sentence() -> None:
    for setting in declared().values():
        text = setting.declaration.text
        assert text[0].isupper(), setting.path
        assert text.endswith("."), setting.path


def test_what_is_shown_is_toml_that_gives_the_same_settings(tmp_path: Path) -> None:
    before = load(environment={"CONSULDNS_DNS_SERVICE_TTL": "web=5s,*=1m"})
    file = tmp_path / "shown.toml"
    file.write_text(reference.toml(before, origins=True))
    assert load(file=file, environment={}).settings == before.settings


def test_secrets_are_not_shown() -> None:
    configuration = load(environment={"CONSUL_HTTP_TOKEN": "hunter2"})
    shown = reference.toml(configuration, origins=True)
    assert "token" not in tomllib.loads(shown)["consul"]
    assert "# token is set, and left out here  # environment CONSUL_HTTP_TOKEN\n" in shown
    assert "hunter2" not in shown
