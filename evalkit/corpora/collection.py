"""Several corpora in one dataset repository of the Hub, to which more come with time.

    README.md              card: a config for each kind of corpus, and a row for each corpus
    NAME/corpus.json       each corpus in a folder of its own, as `evalkit.corpora.publish` writes it
    NAME/data/…
    NAME/manifest/…

A corpus that is there is never replaced. ``hub:OWNER/NAME/CORPUS@REVISION`` is one of them
(`evalkit.corpora.published.fetch_dataset`).
"""

import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.corpora.dataset_card import collection_card
from evalkit.corpora.document import Corpus, Manifest
from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.published import CORPUS_FILE, DATASET_FILES, PARQUET_NAME, read_corpus_file
from evalkit.errors import CorpusError, EvalkitError
from evalkit.hub_errors import HubRepository, bars_on_terminals_only, hub_errors

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LATER = ": nothing is lost, the same command goes on later"
_CARD = "README.md"


class CollectionState(NamedTuple):
    """A repository of corpora at one moment."""

    commit: str
    """40 hex digits."""
    names: frozenset[str]
    """Of the corpora that it holds."""


class PushedCorpora(NamedTuple):
    """What became of a push."""

    commit: str
    """By which all of them can be pinned."""
    names: tuple[str, ...]
    """Corpora that the repository holds now, whether they came now or earlier."""
    num_new: int
    """How many of them came now."""
    problems: tuple[str, ...]
    """What is wrong with the others."""


def read_collection(repo: str) -> CollectionState:
    """Which corpora a repository holds now.

    Args:
        repo: ``OWNER/NAME``.

    Raises:
        CorpusError: there is no such repository, it holds one corpus and not several, access is refused, or
            the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with hub_errors(CorpusError, HubRepository(repo, "dataset"), _LATER):
        return _state(HfApi(), repo)


def download_corpora(repo: str, commit: str, names: Collection[str]) -> Path:
    """The folder of a commit, in which these corpora have folders of their names.

    Args:
        repo: ``OWNER/NAME``.
        commit: of the repository.
        names: of corpora that it holds.

    Raises:
        CorpusError: access is refused, or the Hub cannot be reached.
    """
    patterns = [f"{name}/{path}" for name in sorted(names) for path in DATASET_FILES if path != _CARD]
    return _download(repo, commit, patterns)


def push_corpora(repo: str, corpora: Iterable[Corpus]) -> PushedCorpora:
    """Add corpora to a repository in one commit, text where the license allows; it is made if need be.

    One that cannot be published, or of whose name the repository holds another, costs itself only.

    Args:
        repo: ``OWNER/NAME``. A new one is public.
        corpora: each under its name.

    Raises:
        UsageError: ``repo`` is malformed.
        CorpusError: the repository holds one corpus and not several, access is refused, or the Hub cannot be
            reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    bars_on_terminals_only()
    with hub_errors(CorpusError, HubRepository(repo, "dataset"), _LATER):
        api.create_repo(repo, repo_type="dataset", exist_ok=True)
        state = _state(api, repo)
        folder = _download(repo, state.commit, [f"{name}/{CORPUS_FILE}" for name in sorted(state.names)])
        manifests = {name: read_corpus_file(folder / name) for name in sorted(state.names)}
        with tempfile.TemporaryDirectory(prefix="evalkit-") as temporary:
            local = Path(temporary)
            names, new, problems = _prepared(repo, corpora, manifests, local)
            if not new:
                return PushedCorpora(state.commit, tuple(names), 0, tuple(problems))
            card = collection_card([*manifests.values(), *new], repo, PARQUET_NAME)
            (local / _CARD).write_text(card, encoding="utf-8")
            commit = api.upload_folder(
                repo_id=repo,
                folder_path=local,
                repo_type="dataset",
                commit_message=f"evalkit corpora {', '.join(manifest.name for manifest in new)}",
                allow_patterns=[_CARD, *(f"*/{path}" for path in DATASET_FILES if path != _CARD)],
                parent_commit=state.commit,  # the card lists all corpora: somebody else's are not to be lost
            )
    return PushedCorpora(str(commit.oid), tuple(names), len(new), tuple(problems))


def _prepared(
    repo: str, corpora: Iterable[Corpus], manifests: dict[str, Manifest], folder: Path
) -> tuple[list[str], list[Manifest], list[str]]:
    """Names of the corpora that will be there, manifests of the new ones, and what is wrong with the rest.

    The new ones are written into the folder.
    """
    names: list[str] = []
    new: list[Manifest] = []
    problems: list[str] = []
    for corpus in corpora:
        stored = manifests.get(corpus.name)
        if stored is not None and stored.sha256 != corpus.sha256:
            problems.append(
                f"{repo} holds another corpus {corpus.name} ({stored.sha256[:16]}, not "
                f"{corpus.sha256[:16]}), and what is published is never replaced"
            )
            continue
        if stored is None:
            try:
                prepare_dataset(corpus, repo, folder / corpus.name)
            except EvalkitError as error:
                problems.append(str(error))
                continue
            new.append(corpus.manifest)
        names.append(corpus.name)
    return names, new, problems


def _state(api: "HfApi", repo: str) -> CollectionState:
    info = api.dataset_info(repo)
    paths = [sibling.rfilename for sibling in info.siblings or ()]
    if CORPUS_FILE in paths:
        raise CorpusError(
            f"{repo} holds one corpus, not several; corpora of a leaderboard need a repository of their own"
        )
    names = {path.removesuffix(f"/{CORPUS_FILE}") for path in paths if path.endswith(f"/{CORPUS_FILE}")}
    return CollectionState(str(info.sha), frozenset(name for name in names if "/" not in name))


def _download(repo: str, commit: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    if not patterns:  # which would mean everything
        return Path()
    bars_on_terminals_only()
    with hub_errors(CorpusError, HubRepository(repo, "dataset", commit), _LATER):
        return Path(snapshot_download(repo, repo_type="dataset", revision=commit, allow_patterns=patterns))
