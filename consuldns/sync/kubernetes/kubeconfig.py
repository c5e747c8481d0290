"""Kubeconfig files: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/

Several files are merged, and the first to say something wins; a relative path is relative to the
folder of the file that it stands in. `auth-provider` is gone since Kubernetes 1.26 and is refused.
"""

import base64
import binascii
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from consuldns.config.sync import SyncSettings
from consuldns.errors import ConfigError
from consuldns.sync.kubernetes.access import (
    Access,
    Credentials,
    FixedCredentials,
    NoCredentials,
    TokenFile,
    in_cluster,
    plain_url,
)
from consuldns.sync.kubernetes.exec_credentials import ClusterInfo, ExecCommand, ExecCredentials
from consuldns.untrusted import Unreadable, read_as

T = TypeVar("T")


class _Part(msgspec.Struct, rename="kebab"):
    """A part of a kubeconfig; unknown fields are skipped."""


class KubeconfigCluster(_Part):
    """Where an API is."""

    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class KubeconfigUser(_Part):
    """Who we are."""

    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: ExecCommand | None = None
    auth_provider: dict[str, object] | None = None


class KubeconfigContext(_Part):
    """Which user at which cluster."""

    cluster: str = ""
    user: str = ""


class NamedCluster(_Part):
    """A cluster by name."""

    name: str
    cluster: KubeconfigCluster


class NamedUser(_Part):
    """A user by name."""

    name: str
    user: KubeconfigUser | None = None


class NamedContext(_Part):
    """A context by name."""

    name: str
    context: KubeconfigContext


class Kubeconfig(_Part):
    """A file."""

    current_context: str = ""
    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None


@dataclass(frozen=True)
class _Located(Generic[T]):
    """Something of a file, with the folder that its paths are relative to."""

    name: str
    folder: Path
    value: T


def from_kubeconfig(paths: Sequence[Path], context: str = "") -> Access:
    """The access that the files describe, in `context` or else their current one.

    An access keeps to that context, even if another one becomes the current one.
    Raises ConfigError.
    """
    files = [(path, read_kubeconfig(path)) for path in paths if path.exists()]
    where = ":".join(str(path) for path in paths)
    if not files:
        raise ConfigError("there is no such kubeconfig file", where=where)
    name = context or next((f.current_context for _, f in files if f.current_context), "")
    if not name:
        raise ConfigError("no current context", where=where, hint="kubectl config use-context NAME")
    chosen = _find(((c.name, c.context) for _, f in files for c in f.contexts or ()), name)
    if chosen is None:
        raise ConfigError(f"there is no context {name!r}", where=where)
    cluster = _find(
        (
            (c.name, _Located(c.name, path.parent, c.cluster))
            for path, f in files
            for c in f.clusters or ()
        ),
        chosen.cluster,
    )
    if cluster is None or not cluster.value.server:
        raise ConfigError(f"context {name!r} has no cluster with a server", where=where)
    user = _find(
        (
            (u.name, _Located(u.name, path.parent, u.user or KubeconfigUser()))
            for path, f in files
            for u in f.users or ()
        ),
        chosen.user,
    )
    nobody = _Located(chosen.user, files[0][0].parent, KubeconfigUser())
    access = _access(cluster.value, cluster.folder, user or nobody, f"context {name!r} of {where}")
    return replace(access, read=lambda: from_kubeconfig(paths, name))


def _find(named: Iterable[tuple[str, T]], wanted: str) -> T | None:
    return next((value for name, value in named if name == wanted), None)


def read_kubeconfig(path: Path) -> Kubeconfig:
    """One file, YAML or JSON. Raises ConfigError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    try:
        return read_as(content, Kubeconfig)
    except Unreadable:
        pass
    try:
        return msgspec.yaml.decode(content or b"{}", type=Kubeconfig)
    except Exception as error:  # YAML has as many ways to fail as JSON: see `untrusted`
        raise ConfigError(f"not a kubeconfig: {error}", where=str(path)) from error


def _access(
    cluster: KubeconfigCluster, folder: Path, user: "_Located[KubeconfigUser]", origin: str
) -> Access:
    authorities = _content(
        cluster.certificate_authority_data, cluster.certificate_authority, folder
    )
    certificate = _certificate(user)
    content = msgspec.json.encode((cluster, user.value, authorities, certificate))
    return Access(
        cluster.server.rstrip("/"),
        origin,
        _credentials(user, cluster, authorities, certificate),
        authorities=authorities,
        verify=not cluster.insecure_skip_tls_verify,
        server_name=cluster.tls_server_name,
        proxy=cluster.proxy_url,
        account=user.name,
        content=content,
    )


def _certificate(user: "_Located[KubeconfigUser]") -> tuple[str, str] | None:
    """The user's certificate and its key, in PEM."""
    given = user.value
    certificate = _content(given.client_certificate_data, given.client_certificate, user.folder)
    key = _content(given.client_key_data, given.client_key, user.folder)
    if bool(certificate) != bool(key):
        raise ConfigError(f"user {user.name!r} has a client certificate without key, or a key only")
    return (certificate, key) if certificate else None


def _credentials(
    user: "_Located[KubeconfigUser]",
    cluster: KubeconfigCluster,
    authorities: str,
    pem: tuple[str, str] | None,
) -> Credentials:
    """The user's, in kubectl's order: token, exec plugin, password, certificate."""
    given = user.value
    if given.auth_provider is not None:
        raise ConfigError(
            f"user {user.name!r} has an auth-provider, which Kubernetes 1.26 removed",
            hint="use an exec plugin",
        )
    if given.token_file:
        return TokenFile(user.folder / given.token_file, pem)
    if given.token:
        return FixedCredentials(f"Bearer {given.token}", pem)
    if given.exec is not None:
        info = ClusterInfo(
            cluster.server, authorities, cluster.insecure_skip_tls_verify, cluster.tls_server_name
        )
        return ExecCredentials(given.exec, user.folder, info)
    if given.username:
        basic = base64.b64encode(f"{given.username}:{given.password}".encode()).decode()
        return FixedCredentials(f"Basic {basic}", pem)
    return FixedCredentials(pem=pem) if pem else NoCredentials()


def _content(data: str, file: str, folder: Path) -> str:
    """PEM that is given inline in base64, or in a file; the former wins."""
    if data:
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConfigError(f"inline data are not base64 of PEM: {error}") from error
    if not file:
        return ""
    try:
        return (folder / file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read: {error}", where=str(folder / file)) from error


def find_access(settings: SyncSettings) -> Access:
    """How to reach the Kubernetes API: as set, else as a pod, else as kubectl would."""
    if settings.kube_api:
        return plain_url(settings.kube_api)
    if settings.kubeconfig:
        paths = [Path(each) for each in settings.kubeconfig.split(os.pathsep) if each]
        return from_kubeconfig(paths, settings.context)
    pod = in_cluster(os.environ)
    if pod is not None:
        return pod
    users = Path("~/.kube/config").expanduser()
    if users.exists():
        return from_kubeconfig([users], settings.context)
    raise ConfigError(
        "the Kubernetes API is not configured",
        where="sync",
        hint="--kube-api URL, --kubeconfig FILE, or run in a pod",
    )
