"""The snapshot on disk: what is written is read, and what is not exactly that is not used."""

import asyncio
import stat
from pathlib import Path

import pytest

from consuldns.process import snapshot
from consuldns.process.snapshot import Unusable, read, write
from consuldns.views import keys, updates
from tests.server.one_worker import CATALOG

DAY = 86_400.0


def views() -> list[updates.Replaced]:
    store = CATALOG.views()
    found = [
        keys.DatacenterList(),
        keys.ServiceList("dc1"),
        keys.NodeList("dc1"),
        *(keys.ServiceInstances("dc1", name.decode()) for name in (b"web", b"api")),
    ]
    return [updates.Replaced(key, store.read(key)) for key in found if key in store]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot"
    asyncio.run(write(path, views()))
    return path


def test_what_is_written_is_read(file: Path) -> None:
    found = read(file, longest=DAY)
    assert found is not None
    assert found.views == views()
    assert len(found.views) > 3


def test_only_its_owner_may_read_it(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["snapshot"]


def test_it_is_replaced_whatever_a_former_attempt_has_left(file: Path) -> None:
    target = file.parent / "precious"
    target.write_text("precious")
    (file.parent / "snapshot.new").symlink_to(target)
    asyncio.run(write(file, views()[:3]))
    assert target.read_text() == "precious"
    found = read(file, longest=DAY)
    assert found is not None
    assert len(found.views) == 3


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read(tmp_path / "none", longest=DAY) is None


def test_what_is_damaged_is_not_used(file: Path) -> None:
    content = file.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 200)):
        file.write_bytes(content[:place] + bytes((content[place] ^ 1,)) + content[place + 1 :])
        with pytest.raises(Unusable, match="damaged"):
            read(file, longest=DAY)
        file.write_bytes(content[:place])
        with pytest.raises(Unusable, match="damaged"):
            read(file, longest=DAY)


def test_a_directory_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="cannot be read"):
        read(tmp_path, longest=DAY)


def test_old_data_are_not_used(file: Path) -> None:
    with pytest.raises(Unusable, match=r"older than dns\.max_stale"):
        read(file, longest=-1)


def test_those_of_another_version_are_not_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "__version__", "0.0.0")
    with pytest.raises(Unusable, match="of version"):
        read(file, longest=DAY)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        asyncio.run(write(tmp_path / "none" / "snapshot", views()))
