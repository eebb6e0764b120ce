"""The texts of published corpora in a dataset repository: pushed there, and fetched where they are missing.

A refresh on a machine that keeps nothing knows the texts of earlier windows only from there: a crawl leaves
out what they have, the explorer shows them, and a new model is scored on them.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.corpora.collection import download_corpora, push_corpora, read_collection
from evalkit.corpora.document import Corpus, Manifest
from evalkit.corpora.folder import MANIFEST_FILE, read_manifest_file
from evalkit.corpora.gates import PROFILE_FILE
from evalkit.corpora.names import PARTIAL_ENDING
from evalkit.corpora.published import dataset_corpus, read_dataset
from evalkit.corpora.store import list_corpora, load_corpus, save_corpus, store_folder
from evalkit.errors import CorpusError, EvalkitError
from evalkit.files import atomic_write, parse_json, strict_json
from evalkit.refresh.config import LeaderboardConfig

RECORD_FILE = "dataset.json"
"""Beside a published corpus's manifest: in which repository it is, and by which commit to pin it."""
_WITHHELD = "whose licences do not let their texts be published"


class FetchedCorpora(NamedTuple):
    """What `fetch` did."""

    whole: tuple[str, ...]
    """In the store now, as they were published."""
    partial: tuple[str, ...]
    """In the store as ``NAME-partial``: those texts of theirs that may be published."""


def all_published(config: LeaderboardConfig) -> list[str]:
    """The corpora of all windows that were published."""
    return sorted(path.parent.name for path in config.corpora_folder.glob(f"*/{PROFILE_FILE}"))


def push(config: LeaderboardConfig, *, tell: Callable[[str], None]) -> int:
    """Push the published corpora that were not pushed yet and are in the store; returns how many came now.

    One that was pushed and taken out there is not pushed again: ``results`` remembers.

    Args:
        config: says where; nothing is done where it names no repository.
        tell: told what was pushed, and what cannot be because its texts are not here.

    Raises:
        CorpusError: access is refused, the Hub cannot be reached, or one of the corpora cannot be pushed;
            the others are.
    """
    if config.dataset is None:
        return 0
    missing = [name for name in all_published(config) if not _is_pushed(config, name)]
    stored_names = set(list_corpora())
    at_hand = [name for name in missing if name in stored_names]
    if absent := [name for name in missing if name not in stored_names]:
        tell(f"not in {store_folder()}, and so not pushed to {config.dataset}: {', '.join(absent)}")
    if not at_hand:
        return 0
    problems: list[str] = []
    pushed = push_corpora(config.dataset, _loaded(config, at_hand, problems))
    record = strict_json({"repo": config.dataset, "commit": pushed.commit})
    for name in pushed.names:
        with atomic_write(config.corpora_folder / name / RECORD_FILE) as temporary:
            temporary.write_text(record, encoding="utf-8")
    if pushed.names:
        tell(f"hub:{config.dataset}@{pushed.commit} has {', '.join(pushed.names)}")
    if problems := [*problems, *pushed.problems]:
        raise CorpusError(f"not pushed: {'; '.join(problems)}")
    return pushed.num_new


def fetch(config: LeaderboardConfig, *, tell: Callable[[str], None]) -> FetchedCorpora:
    """Bring the texts of published corpora that the store lacks into it, as far as the repository has them.

    A text counts only if its digest is that which was published.

    Args:
        config: says from where; nothing is done where it names no repository.
        tell: told what came, and what did not and why.

    Raises:
        CorpusError: access is refused, the Hub cannot be reached, or one of the corpora is damaged there;
            the others are fetched.
    """
    names = lacking(config)
    if config.dataset is None or not names:
        return FetchedCorpora((), ())
    state = read_collection(config.dataset)
    if absent := [name for name in names if name not in state.names]:
        tell(f"neither in {store_folder()} nor in hub:{config.dataset}: {', '.join(absent)}")
    available = [name for name in names if name in state.names]
    folder = download_corpora(config.dataset, state.commit, available)
    fetched: dict[str, Corpus] = {}
    problems = []
    for name in available:
        try:
            corpus = _stored_from(
                config, name, folder / name, f"hub:{config.dataset}/{name}@{state.commit}", tell
            )
        except EvalkitError as error:
            problems.append(f"{name}: {error}")
            continue
        if corpus is not None:
            fetched[name] = corpus
    if problems:
        raise CorpusError(f"not fetched from {config.dataset}: {'; '.join(problems)}")
    return FetchedCorpora(
        tuple(name for name, corpus in fetched.items() if corpus.name == name),
        tuple(name for name, corpus in fetched.items() if corpus.name != name),
    )


def lacking(config: LeaderboardConfig) -> list[str]:
    """The published corpora that are not in the store, nor what there is of them."""
    stored_names = set(list_corpora())
    return [
        name
        for name in all_published(config)
        if name not in stored_names and f"{name}{PARTIAL_ENDING}" not in stored_names
    ]


def _stored_from(
    config: LeaderboardConfig, name: str, folder: Path, origin: str, tell: Callable[[str], None]
) -> Corpus | None:
    """The corpus of a downloaded folder, stored as far as its texts are there; None: no text is."""
    dataset = read_dataset(folder)
    stated = published(config, name)
    if (dataset.manifest.name, dataset.manifest.sha256) != (name, stated.sha256):
        raise CorpusError(
            f"{origin} is {dataset.manifest.name} {dataset.manifest.sha256[:16]}, not the corpus that was "
            f"published, {stated.sha256[:16]}"
        )
    if dataset.withheld:
        tell(
            f"{name}: {len(dataset.documents)} of {stated.num_documents} texts may be published; "
            f"`evalkit corpora rebuild {origin}` fetches the others from where they were published"
        )
    if not dataset.documents:
        return None
    missing = {_WITHHELD: len(dataset.withheld)} if dataset.withheld else {}
    corpus = dataset_corpus(dataset, dataset.documents, missing, origin)
    save_corpus(corpus)
    tell(f"fetched: {corpus.name}")
    return corpus


def published(config: LeaderboardConfig, name: str) -> Manifest:
    """The manifest by which a corpus was published."""
    folder = config.corpora_folder / name
    manifest, problems = read_manifest_file(folder)
    if manifest is None or problems:
        raise CorpusError(f"{folder / MANIFEST_FILE}: {problems[0]}")
    return manifest


def _is_pushed(config: LeaderboardConfig, name: str) -> bool:
    path = config.corpora_folder / name / RECORD_FILE
    try:
        record = parse_json(path.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}; take it from git again") from error
    return isinstance(record, dict) and record.get("repo") == config.dataset


def _loaded(config: LeaderboardConfig, names: Sequence[str], problems: list[str]) -> Iterator[Corpus]:
    """The stored corpora that are those that were published; of others the problems are told there."""
    for name in names:
        try:
            corpus = load_corpus(name)
            stated = published(config, name)
            if corpus.sha256 != stated.sha256:
                raise CorpusError(
                    f"{store_folder() / name} holds other documents ({corpus.sha256[:16]}) than were "
                    f"published ({stated.sha256[:16]})"
                )
        except EvalkitError as error:
            problems.append(f"{name}: {error}")
            continue
        yield corpus
