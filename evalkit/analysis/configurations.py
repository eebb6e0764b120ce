"""The rows of a leaderboard: models as their cells configured them, and what tells them apart."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.cells.policy_schema import CellPolicy
from evalkit.cells.schema import CellModel, CorpusCell
from evalkit.files import slug
from evalkit.models.prefixes import rule_of
from evalkit.scoring.policy import DEFAULT_POLICY

_MAX_KEY = 200  # file systems know names of 255 bytes, and endings are added


@dataclasses.dataclass(frozen=True)
class ModelConfiguration:
    """A model in one configuration: a row of the leaderboard."""

    key: str
    """Unique, and fit for a file name."""
    label: str
    model: str
    """The model's name; several configurations may share it."""
    policy: str | None
    """None for a compressor, which knows no policy."""
    facts: CellModel
    """What its newest cell says of the model."""
    settings: CellPolicy
    """What its newest cell says of the policy."""

    @property
    def num_parameters(self) -> int | None:
        """All weights; None where nobody said, or there are none."""
        return self.facts.num_parameters


class _Signature(NamedTuple):
    """What makes two cells of one model one row: the key without corpus and library's generation."""

    model: str
    policy: str | None
    dtype: str
    context_limit: int | None
    prefix: str
    revision: str | None
    weights: str
    tokenizer: str
    config: str | None
    """None where there was none, and in older cells."""
    scorer: int
    loader: str

    def distinctions(self) -> list[str]:
        """In words, from what a reader understands first."""
        return [
            self.dtype,
            f"context ≤ {self.context_limit}" if self.context_limit else "no context limit",
            f"prefix {self.prefix}",
            f"revision {str(self.revision)[:8]}",
            f"weights {self.weights[:8]}",
            f"tokenizer {self.tokenizer[:8]}",
            f"config {self.config[:8] if self.config else 'not stated'}",
            f"scorer {self.scorer}",
            f"loader {self.loader}",
        ]


def _prefix(policy: CellPolicy) -> str:
    """The ids, in whatever words a rule said them: older cells have ``default`` where newer ones have ids."""
    words = policy.prefix_rule if policy.prefix_ids is None else rule_of(policy.prefix_ids)
    return f"{words} before every chunk" if policy.chunk_prefix_ids else words


def _signature(cell: CorpusCell) -> _Signature:
    model, policy = cell.model, cell.policy
    return _Signature(
        model.name,
        None if cell.is_of_a_compressor else policy.name,
        model.dtype,
        policy.context_limit,
        _prefix(policy),
        model.revision,
        model.weights_sha256,
        model.tokenizer_sha256,
        model.config_sha256,
        cell.scorer_version,
        model.loader,
    )


def _signatures(cells: Sequence[CorpusCell]) -> dict[Path, _Signature]:
    """By path; a cell that does not say its config goes with the only one that the others say."""
    stated: dict[_Signature, set[str | None]] = {}
    for cell in cells:
        signature = _signature(cell)
        stated.setdefault(signature._replace(config=None), set()).add(signature.config)
    signatures = {}
    for cell in cells:
        signature = _signature(cell)
        configs = stated[signature._replace(config=None)] - {None}
        if signature.config is None and len(configs) == 1:
            signature = signature._replace(config=next(iter(configs)))
        signatures[cell.path] = signature
    return signatures


def configurations_of(cells: Sequence[CorpusCell]) -> tuple[tuple[ModelConfiguration, ...], dict[Path, int]]:
    """The rows that cells make, and which row each is of, by its path."""
    signatures = _signatures(cells)
    newest: dict[_Signature, CorpusCell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.created, str(cell.path))):
        newest[signatures[cell.path]] = cell
    order = sorted(newest, key=lambda signature: tuple(str(part) for part in signature))
    namesakes: dict[tuple[str, str | None], list[list[str]]] = {}
    for signature in order:
        namesakes.setdefault((signature.model, signature.policy), []).append(signature.distinctions())
    keys: set[str] = set()
    configurations = []
    for signature in order:
        name, policy = signature.model, signature.policy
        rivals = namesakes[name, policy]
        differing = [
            word
            for place, word in enumerate(signature.distinctions())
            if len({rival[place] for rival in rivals}) > 1
        ]
        label = " · ".join([name, *differing])
        suffix = "" if policy in (None, DEFAULT_POLICY) else f" {policy}"
        cell = newest[signature]
        configurations.append(
            ModelConfiguration(
                key=unique(slug(label + suffix), keys),
                label=label,
                model=name,
                policy=policy,
                facts=cell.model,
                settings=cell.policy,
            )
        )
    index = {signature: number for number, signature in enumerate(order)}
    return tuple(configurations), {cell.path: index[signatures[cell.path]] for cell in cells}


def unique(key: str, taken: set[str]) -> str:
    """The key, or with a number behind it where it is taken (letter case aside); it is taken then.

    Of a key too long for a file name the end is replaced by a digest.
    """
    if len(key) > _MAX_KEY:
        key = f"{key[: _MAX_KEY - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    numbered, number = key, 1
    while numbered.lower() in taken:
        number += 1
        numbered = f"{key}-{number}"
    taken.add(numbered.lower())
    return numbered
