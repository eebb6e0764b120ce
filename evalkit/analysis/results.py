"""Result cells as the site sees them: which models, which corpora, which documents cost what."""

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.cells.corpus_cell import Cell, read_cell
from evalkit.cells.files import content_sha256
from evalkit.errors import EvalkitError, ScoringError, UsageError
from evalkit.files import slug

_COLUMNS = ["id", "sha256", "title", "cluster", "num_bytes", "total_bits"]
SITE_LISTING = "site.json"
"""The file that lists a built site's files; a folder with it is a site and holds no cells."""

_MANIFEST = "manifest.json"
_MAX_KEY = 200  # file systems know names of 255 bytes, and endings are added


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A file of the results that is not shown, and why."""

    path: str
    """Relative to the results."""
    reason: str


@dataclasses.dataclass(frozen=True)
class Entrant:
    """A model in one configuration: a row of the leaderboard."""

    key: str
    """Unique, and fit for a file name."""
    label: str
    model: str
    """The model's name; several entrants may share it."""
    policy: str | None
    """None for a compressor, which knows no policy."""
    facts: dict[str, Any]
    """What its newest cell says of the model."""
    settings: dict[str, Any]
    """What its newest cell says of the policy: name, context limit, prefix."""

    @property
    def num_parameters(self) -> int | None:
        """All weights; None where nobody said, or there are none."""
        return self.facts.get("num_parameters")


@dataclasses.dataclass(frozen=True)
class ScoredCorpus:
    """A corpus and what every entrant paid for its documents."""

    key: str
    label: str
    facts: dict[str, Any]
    """What the cells say of it: name, digest, dates, counts, licences."""
    ids: tuple[str, ...]
    digests: tuple[str, ...]
    """SHA-256 of each document."""
    titles: tuple[str | None, ...]
    clusters: tuple[str, ...]
    num_bytes: NDArray[np.int64]
    """``[D]``."""
    bits: NDArray[np.float64]
    """``[D, K]`` for K entrants; NaN where an entrant has no cell or could not represent a document."""
    cells: dict[int, Cell]
    """By entrant."""

    @property
    def name(self) -> str:
        """The corpus's name; several corpora may share it, their digests differ."""
        return str(self.facts["name"])

    @property
    def sha256(self) -> str:
        """The corpus's digest."""
        return str(self.facts["sha256"])

    @property
    def month(self) -> str:
        """``YYYY-MM`` of the first day, or ``undated``."""
        first = self.facts["date_from"]
        return str(first)[:7] if first else "undated"


@dataclasses.dataclass(frozen=True)
class Store:
    """All that was found under a results folder."""

    entrants: tuple[Entrant, ...]
    corpora: tuple[ScoredCorpus, ...]
    probes: tuple[tuple[str, dict[str, Any]], ...]
    """Path relative to the results, and content, of every probe's cell."""
    left_out: tuple[LeftOut, ...]

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies of the language models, the default one first; ``document`` if there are none."""
        found = {entrant.policy for entrant in self.entrants if entrant.policy}
        order = [name for name in ("document", "uncheatable", "lm-eval") if name in found]
        return (*order, *sorted(found - set(order))) or ("document",)


def read_store(results: Path, *, warn: Callable[[str], None]) -> Store:
    """Every cell under a folder.

    What cannot be believed or must not be compared (a damaged file, a cell of ``--limit``) is left out,
    told to ``warn`` and kept in `Store.left_out`.

    Args:
        results: what ``evalkit run --output`` wrote.
        warn: told of every file that is left out.

    Raises:
        UsageError: there is no such folder, or nothing in it that can be shown.
        ScoringError: two cells of one corpus disagree about its documents.
    """
    if not results.is_dir():
        raise UsageError(f"{results}: no such folder; give the folder that `evalkit run --output` wrote")
    cells: list[Cell] = []
    probes: list[tuple[str, dict[str, Any]]] = []
    left_out: list[LeftOut] = []
    for path in json_files(results):
        relative = path.relative_to(results).as_posix()
        try:
            content = _content(path)
            if _is_probe(content):
                probes.append((relative, content))
                continue
            cell = read_cell(path)
        except EvalkitError as error:
            left_out.append(LeftOut(relative, str(error).removeprefix(f"{path} ").partition(";")[0]))
            continue
        limit = cell.content["corpus"]["limit"]
        if limit is not None:
            reason = f"holds only the first {limit} documents of {cell.corpus} (--limit)"
            left_out.append(LeftOut(relative, reason))
            continue
        cells.append(cell)
    for skipped in left_out:
        warn(f"left out: {skipped.path} {skipped.reason}")
    if not cells and not probes:
        reason = f": {left_out[0].path} {left_out[0].reason}" if left_out else ""
        raise UsageError(
            f"{results} holds no whole cell that a report could show{reason}; score without --limit"
        )
    entrants, entrant_of = entrants_of(cells)
    return Store(entrants, _corpora(cells, entrant_of, len(entrants)), tuple(probes), tuple(left_out))


def json_files(results: Path) -> list[Path]:
    """The files under a folder that may be cells: no manifests, nothing hidden, no copies in a built site."""
    sites = {path.parent for path in results.rglob(SITE_LISTING)}
    return [
        path
        for path in sorted(results.rglob("*.json"))
        if path.name != _MANIFEST
        and sites.isdisjoint(path.parents)
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
    ]


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ScoringError(f"cannot be read as JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ScoringError("is no cell")
    return content


def _is_probe(content: dict[str, Any]) -> bool:
    """Whether it is a probe's cell: one that says its kind, which cells of corpora do not.

    Raises:
        ScoringError: it was changed after it was written.
    """
    if not isinstance(content.get("kind"), str):
        return False
    try:
        whole = content.get("sha256") == content_sha256(content)
    except ValueError:  # NaN, or a lone surrogate
        whole = False
    if not whole:
        raise ScoringError("was changed after it was written")
    return True


def _signature(cell: Cell) -> tuple[Any, ...]:
    """What makes two cells of one model one row: everything in the key but the corpus."""
    model, policy = cell.content["model"], cell.content["policy"]
    return (
        model["name"],
        policy["name"] if _has_policy(cell) else None,
        model["dtype"],
        policy["context_limit"],
        policy["prefix_rule"],
        model["revision"],
        model["weights_sha256"],
        model["tokenizer_sha256"],
        cell.content["scorer_version"],
        model["loader"],
    )


def _has_policy(cell: Cell) -> bool:
    return cell.content["totals"]["num_tokens"] is not None


def _distinctions(signature: tuple[Any, ...]) -> list[str]:
    """A signature in words, from what a reader understands first."""
    _, _, dtype, context, prefix, revision, weights, tokenizer, scorer, loader = signature
    return [
        str(dtype),
        f"context ≤ {context}" if context else "no context limit",
        f"prefix {prefix}",
        f"revision {str(revision)[:8]}",
        f"weights {str(weights)[:8]}",
        f"tokenizer {str(tokenizer)[:8]}",
        f"scorer {scorer}",
        f"loader {loader}",
    ]


def entrants_of(cells: Sequence[Cell]) -> tuple[tuple[Entrant, ...], dict[Path, int]]:
    """The rows that cells make, and which row each is of, by its path."""
    newest: dict[tuple[Any, ...], Cell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.content["created"], str(cell.path))):
        newest[_signature(cell)] = cell
    order = sorted(newest, key=lambda signature: tuple(str(part) for part in signature))
    keys: set[str] = set()
    entrants = []
    for signature in order:
        name, policy = signature[:2]
        rivals = [_distinctions(other) for other in order if other[:2] == (name, policy)]
        own = _distinctions(signature)
        differing = [word for place, word in enumerate(own) if len({rival[place] for rival in rivals}) > 1]
        label = " · ".join([name, *differing])
        suffix = "" if policy in (None, "document") else f" {policy}"
        cell = newest[signature]
        entrants.append(
            Entrant(
                key=unique(slug(label + suffix), keys),
                label=label,
                model=name,
                policy=policy,
                facts=cell.content["model"],
                settings=cell.content["policy"],
            )
        )
    index = {signature: number for number, signature in enumerate(order)}
    return tuple(entrants), {cell.path: index[_signature(cell)] for cell in cells}


def unique(key: str, taken: set[str]) -> str:
    """The key, or with a number behind it where it is taken (letter case aside); it is taken then.

    Of a key too long for a file name the end is replaced by a digest.
    """
    if len(key) > _MAX_KEY:
        key = f"{key[: _MAX_KEY - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    found, number = key, 1
    while found.lower() in taken:
        number += 1
        found = f"{key}-{number}"
    taken.add(found.lower())
    return found


def _corpora(
    cells: Sequence[Cell], entrant_of: dict[Path, int], num_entrants: int
) -> tuple[ScoredCorpus, ...]:
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.corpus, cell.content["corpus"]["sha256"]), []).append(cell)
    names = Counter(name for name, _ in groups)
    keys: set[str] = set()
    corpora = []
    for (name, sha256), members in sorted(groups.items()):
        chosen: dict[int, Cell] = {}
        for cell in sorted(members, key=lambda cell: str(cell.path)):
            entrant = entrant_of[cell.path]
            if entrant not in chosen or cell.content["documents"]["token_bits"]:
                chosen[entrant] = cell  # the same numbers, and those of the tokens besides
        label = name if names[name] == 1 else f"{name} @ {sha256[:8]}"
        corpora.append(_corpus(unique(slug(label), keys), label, chosen, num_entrants))
    return tuple(corpora)


def _corpus(key: str, label: str, cells: dict[int, Cell], num_entrants: int) -> ScoredCorpus:
    import pyarrow.parquet as pq

    first = cells[min(cells)]
    columns = pq.read_table(first.path.with_suffix(".parquet"), columns=_COLUMNS).to_pydict()
    bits = np.full((len(columns["id"]), num_entrants), math.nan)
    for entrant, cell in cells.items():
        own = pq.read_table(cell.path.with_suffix(".parquet"), columns=["id", "sha256", "total_bits"])
        if own["id"].to_pylist() != columns["id"] or own["sha256"].to_pylist() != columns["sha256"]:
            raise ScoringError(
                f"{cell.path} and {first.path} name one corpus and hold different documents; delete "
                "the wrong one"
            )
        bits[:, entrant] = own["total_bits"].to_numpy()
    return ScoredCorpus(
        key=key,
        label=label,
        facts=first.content["corpus"],
        ids=tuple(columns["id"]),
        digests=tuple(columns["sha256"]),
        titles=tuple(columns["title"]),
        clusters=tuple(columns["cluster"]),
        num_bytes=np.asarray(columns["num_bytes"], dtype=np.int64),
        bits=bits,
        cells=dict(sorted(cells.items())),
    )
