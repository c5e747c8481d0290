"""The ACL token: from the settings, or from a file that may be rotated at any time."""

import os
from pathlib import Path

from consuldns.config.schema import ConsulSettings
from consuldns.errors import Denied


class TokenSource:
    """The token to send with each request. The file is read again when it has changed.

    Noticed by modification time, size and inode: one `stat` (2 us) a request.
    """

    def __init__(self, settings: ConsulSettings) -> None:
        self._path = Path(settings.token_file) if settings.token_file else None
        self._token = _valid(settings.token.reveal(), "the token in the settings")
        self._seen: tuple[int, int, int] | None = None

    def current(self) -> str:
        """The token, "" if there is none. Raises Denied if its file cannot be read."""
        if self._path is None:
            return self._token
        try:
            stamp = _stamp(self._path)
            if stamp != self._seen:
                token = self._path.read_text("ascii").strip()
                self._token = _valid(token, f"the token in {self._path}")
                self._seen = stamp
        except (OSError, UnicodeDecodeError) as error:
            raise Denied(f"the token file {self._path} cannot be read: {error}") from error
        return self._token

    def reread(self) -> bool:
        """Read the file whatever its time says (after a 403); whether the token is another now."""
        before = self._token
        self._seen = None
        return self.current() != before


def _valid(token: str, where: str) -> str:
    """A token as it can stand in a header. Raises Denied, without the token in its text."""
    if not (token.isascii() and token.isprintable()):
        raise Denied(f"{where} holds characters that a token cannot have (line breaks, controls)")
    return token


def _stamp(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino
