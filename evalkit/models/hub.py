"""What a revision of a hub repository holds, known before and without downloading its weights.

The hub states the SHA-256 of every large file, and files in the local cache are named by it, so a
model's digest is the same whether it was never downloaded, is being downloaded or is used offline.
"""

import contextlib
import dataclasses
import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from evalkit.errors import ModelError
from evalkit.files import file_sha256
from evalkit.hub_errors import HubRepository, bars_on_terminals_only, hub_errors, is_refused_token
from evalkit.models.packed_weights import StoredTensor

_NUM_HEADER_REQUESTS = 8
"""Side by side."""
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth")  # in order of preference


@dataclasses.dataclass(frozen=True)
class HubSnapshot:
    """A hub repository at one commit: its files, their digests, and what of it is on this machine."""

    repo: str
    """``owner/name``."""
    commit: str
    """40 hexadecimal digits."""
    files: Mapping[str, str]
    """Path inside the repository → SHA-256 (files in LFS: all weights) or git blob id (small files)."""
    local_folder: Path | None
    """The cache's folder of this commit, with all or some of the files; None: nothing was downloaded."""
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Bytes of the files, as far as the hub states them."""


def hub_files(repo: str, revision: str = "main") -> HubSnapshot:
    """The files of a repository and their digests.

    Where the hub cannot be reached or does not know the token, or ``HF_HUB_OFFLINE`` is set, the answer comes
    from the local cache and `HubSnapshot.files` lists what was downloaded.

    Args:
        repo: ``owner/name``.
        revision: branch, tag or commit.

    Raises:
        ModelError: there is no such repository or revision, access to it is refused, or the hub cannot
            be reached and the cache does not hold it.
    """
    from httpx2 import TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi()
    with _hub_errors(repo, revision):
        # Also notes which commit a branch is at, so that the branch can be resolved offline.
        try:
            commit = api.resolve_revision(repo, revision=revision).resolved
        except (HfHubHTTPError, json.JSONDecodeError) as error:
            return _cached_instead(repo, revision, error)
        try:
            info = api.model_info(repo, revision=commit, files_metadata=True)
        except (TransportError, OfflineModeIsEnabled, HfHubHTTPError, json.JSONDecodeError) as error:
            return _cached_instead(repo, commit, error)
    cached = cached_files(repo, commit)
    files: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for sibling in info.siblings or ():
        digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        if not digest:
            raise ModelError(f"the hub states no digest for {sibling.rfilename} of {repo}: give a local path")
        files[sibling.rfilename] = digest
        if sibling.size is not None:
            sizes[sibling.rfilename] = sibling.size
    return HubSnapshot(repo, commit, files, cached.local_folder if cached else None, sizes)


def revisions(repo: str) -> dict[str, str]:
    """The branches and tags of a repository, and the commit of each; those in the cache where it must do.

    Args:
        repo: ``owner/name``.

    Raises:
        ModelError: there is no such repository, access to it is refused, or the hub cannot be reached and
            the cache has nothing of it.
    """
    from httpx2 import TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    with _hub_errors(repo, "main"):
        try:
            refs = HfApi().list_repo_refs(repo)
        except (TransportError, OfflineModeIsEnabled, HfHubHTTPError, json.JSONDecodeError) as error:
            if _is_answer(error) or not (commits := _cached_revisions(repo)):
                raise
            return commits
    return {ref.name: ref.target_commit for ref in (*refs.branches, *refs.tags)}


def _cached_revisions(repo: str) -> dict[str, str]:
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "refs"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8").strip()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _is_answer(error: Exception) -> bool:
    """Whether an error says something about the repository, and not only that the hub cannot answer now."""
    from huggingface_hub.errors import HfHubHTTPError

    if not isinstance(error, HfHubHTTPError):
        return False
    return error.response.status_code < 500 and not is_refused_token(error)


def _cached_instead(repo: str, revision: str, error: Exception) -> HubSnapshot:
    """What the cache holds, if an error says nothing about the repository; otherwise it is raised."""
    if _is_answer(error):
        raise error
    cached = cached_files(repo, revision)
    if cached is None:
        raise error
    return cached


def cached_files(repo: str, revision: str = "main") -> HubSnapshot | None:
    """What the local cache holds of a repository, without asking the hub; None: nothing.

    Raises:
        ModelError: ``repo`` is not the name of a repository.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    with _hub_errors(repo, revision):
        try:
            folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
        except IncompleteSnapshotError as error:
            folder = Path(error.snapshot_path)
        except LocalEntryNotFoundError:
            return None
    paths = [path for path in folder.rglob("*") if path.is_file()]
    if not paths:
        return None
    files = {str(path.relative_to(folder).as_posix()): _digest(path) for path in paths}
    sizes = {name: (folder / name).stat().st_size for name in sorted(files)}
    return HubSnapshot(repo, folder.name, dict(sorted(files.items())), folder, sizes)


def weight_files(files: Mapping[str, str]) -> dict[str, str]:
    """The weights among a repository's files: safetensors if there are any, else ``.bin``, else ``.pth``.

    Only the topmost folder counts: below it are other formats of the same weights (``original/``).
    """
    for suffix in _WEIGHT_SUFFIXES:
        weights = {name: digest for name, digest in files.items() if name.endswith(suffix)}
        top = {name: digest for name, digest in weights.items() if "/" not in name}
        if weights:
            return top or weights
    return {}


def weights_sha256(files: Mapping[str, str]) -> str:
    """One digest for a model's weights: SHA-256 over the sorted lines ``name digest``.

    Args:
        files: name → digest. Of these only the weights count (see `weight_files`); for one of a
            repository's several checkpoints give only that file.

    Raises:
        ModelError: there are no weights among the files.
    """
    weights = weight_files(files)
    if not weights:
        raise ModelError(f"no weights (*{', *'.join(_WEIGHT_SUFFIXES)}) among {len(files)} files")
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(weights.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def download(repo: str, commit: str, patterns: Iterable[str]) -> Path:
    """Download the files of a commit that match any of the patterns; what is there already is kept.

    The hub client shows its progress bar where stderr is a terminal.

    Args:
        repo: ``owner/name``.
        commit: a commit, or a branch or tag.
        patterns: file names, with ``*`` for anything.

    Returns:
        The cache's folder of that commit.

    Raises:
        ModelError: no file matches, access is refused, or the hub cannot be reached and the cache does
            not hold all of the files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    bars_on_terminals_only()
    patterns = list(patterns)
    with _hub_errors(repo, commit):
        try:
            folder = Path(snapshot_download(repo, revision=commit, allow_patterns=patterns))
        except (HfHubHTTPError, json.JSONDecodeError) as error:
            if isinstance(error, HfHubHTTPError) and not is_refused_token(error):
                raise
            try:
                folder = Path(
                    snapshot_download(repo, revision=commit, allow_patterns=patterns, local_files_only=True)
                )
            except LocalEntryNotFoundError:
                raise error from None
    names = [str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()]
    if not any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns):
        page = f"{HubRepository(repo, 'model').url}/tree/{commit}"
        raise ModelError(f"{repo} at {commit} has no file {' or '.join(patterns)}: see {page}")
    return folder


def safetensors_tensors(repo: str, commit: str, names: Iterable[str]) -> list[StoredTensor]:
    """The tensors of safetensors files, by requests for the first bytes of each: no weights are fetched.

    Args:
        repo: ``owner/name``.
        commit: a commit.
        names: of the files.

    Returns:
        Types by the format's names.

    Raises:
        ModelError: the hub cannot be reached, or a file is none.
    """
    from concurrent.futures import ThreadPoolExecutor

    from huggingface_hub import HfApi
    from huggingface_hub.errors import SafetensorsParsingError

    def tensors_of(name: str) -> list[StoredTensor]:
        try:
            metadata = HfApi().parse_safetensors_file_metadata(repo, name, revision=commit)
        except SafetensorsParsingError as error:
            raise ModelError(f"{name} of {repo} is no safetensors file") from error
        return [
            StoredTensor(
                key, tuple(tensor.shape), tensor.data_offsets[1] - tensor.data_offsets[0], tensor.dtype
            )
            for key, tensor in metadata.tensors.items()
        ]

    with _hub_errors(repo, commit), ThreadPoolExecutor(_NUM_HEADER_REQUESTS) as pool:
        return [tensor for tensors in pool.map(tensors_of, names) for tensor in tensors]


def _digest(path: Path) -> str:
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" else file_sha256(path)


def _hub_errors(repo: str, revision: str) -> contextlib.AbstractContextManager[None]:
    return hub_errors(
        ModelError,
        HubRepository(repo, "model", revision),
        " and not all of it is in the local cache: connect once, or give a local path",
    )
