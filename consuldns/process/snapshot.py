"""The last known data of Consul on disk, for a start while Consul is away.

The file: a line that says what it is, frames as they go to the workers (`link`), and a checksum of
all that. The first frame has the time and the version that wrote it; another version does not read
it. It is as secret as the catalog: only its owner may read it.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from consuldns import __version__
from consuldns.consul.watch.watcher import Watcher
from consuldns.incidents import Incidents
from consuldns.process import link
from consuldns.views import updates

PATIENCE_SECONDS = 0.3  # for Consul's first answer, which usually comes within a few ms
PERIOD_SECONDS = 60.0

MAGIC = b"consuldns snapshot 1\n"
_DIGEST_SIZE = sha256().digest_size
_FRAMES_AT_ONCE = 20  # then the event loop has its turn

_log = logging.getLogger(__name__)

_decoder = link.worker_decoder()
_encoder = msgspec.msgpack.Encoder()


class Head(msgspec.Struct, frozen=True, array_like=True):
    """`taken_at` in seconds of the wall clock."""

    taken_at: float
    version: str


class Snapshot(msgspec.Struct, frozen=True):
    """What was read from a file."""

    taken_at: float
    views: list[updates.Replaced]


class Unusable(Exception):
    """The file cannot be used, and why."""


async def write(path: Path, views: Iterable[updates.Replaced]) -> None:
    """Replace the file at once, when all has been written. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    digest = sha256()
    # Into the page cache; only waiting for the disk takes time.
    with open(os.open(new, flags, 0o600), "wb") as file:  # noqa: ASYNC230
        for number, piece in enumerate(_pieces(views)):
            digest.update(piece)
            file.write(piece)
            if number % _FRAMES_AT_ONCE == 0:
                await asyncio.sleep(0)
        file.write(digest.digest())
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    new.replace(path)


def _pieces(views: Iterable[updates.Replaced]) -> Iterator[bytes]:
    yield MAGIC
    head = _encoder.encode(Head(time.time(), __version__))
    yield link.LENGTH.pack(len(head)) + head
    yield from map(link.frame, views)


def read(path: Path, *, longest: float) -> Snapshot | None:
    """What is in the file, None if there is none; at most so old, in seconds. Raises Unusable."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unusable(f"it cannot be read: {error.strerror}") from error
    body, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if not body.startswith(MAGIC) or sha256(body).digest() != digest:
        raise Unusable("it is damaged, or not a snapshot")
    frames = _frames(memoryview(body)[len(MAGIC) :])
    try:
        head = msgspec.msgpack.decode(next(frames), type=Head)
        if head.version != __version__:
            raise Unusable(f"it is of version {head.version}")
        if time.time() - head.taken_at > longest:
            raise Unusable("it is older than dns.max_stale")
        views = [
            each for each in map(_decoder.decode, frames) if isinstance(each, updates.Replaced)
        ]
    except (msgspec.MsgspecError, StopIteration, ValueError) as error:
        raise Unusable(f"its content cannot be read: {error}") from error
    return Snapshot(head.taken_at, views)


def _frames(content: memoryview) -> Iterator[memoryview]:
    start, size = 0, link.LENGTH.size
    while start < len(content):
        (length,) = link.LENGTH.unpack_from(content, start)
        yield content[start + size : start + size + length]
        start += size + length


class SnapshotKeeper:
    """Writes the snapshot of a running server now and then, and has it restored at a start."""

    def __init__(self, path: Path, watcher: Watcher, longest: float) -> None:
        self._path = path
        self._watcher = watcher
        self._longest = longest
        self._written = 0  # the watcher's number of changes then
        self._incidents = Incidents(_log)

    async def run(self) -> None:
        """Restore it unless Consul answers soon; then keep it until cancelled."""
        await asyncio.sleep(PATIENCE_SECONDS)
        if not self._watcher.was_in_contact:
            self._restore()
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.save()

    def _restore(self) -> None:
        try:
            found = read(self._path, longest=self._longest)
        except Unusable as error:
            _log.warning("snapshot %s is not used: %s", self._path, error)
            return
        if found is None:
            _log.info("there is no snapshot %s yet", self._path)
            return
        taken = datetime.fromtimestamp(found.taken_at, UTC).isoformat(timespec="seconds")
        _log.warning("Consul is unreachable: answering from the snapshot of %s", taken)
        self._watcher.restore(found.views, f"Consul is unreachable; data of {taken}")

    async def save(self) -> None:
        """Write it if Consul is reachable and anything has changed."""
        watcher = self._watcher
        changes = watcher.changes
        if changes == self._written or not watcher.is_in_contact:
            return
        try:
            await write(self._path, watcher.views())
        except OSError as error:
            self._incidents.began(f"snapshot {self._path}", error.strerror or error)
        else:
            self._written = changes
            self._incidents.ended(f"snapshot {self._path}")
