"""Which windows keep the bits of tokens, and taking them out of the others' cells."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Sequence

from evalkit.analysis.results import json_files
from evalkit.cells.pruning import prune_token_bits
from evalkit.corpora.names import PARTIAL_ENDING
from evalkit.errors import EvalkitError, ScoringError
from evalkit.refresh.config import LeaderboardConfig
from evalkit.refresh.corpora import DAY
from evalkit.refresh.dataset import all_published


def without_token_bits(config: LeaderboardConfig) -> frozenset[str]:
    """The published corpora, and their parts, whose cells keep no bits of tokens, by what the file says.

    Of corpora that are called alike but for their day the newest ``token_bits_windows`` keep them.
    """
    names = _older(all_published(config), config)
    return frozenset(names) | {f"{name}{PARTIAL_ENDING}" for name in names}


def _older(names: Sequence[str], config: LeaderboardConfig) -> Sequence[str]:
    """Those that are not among the windows that keep the bits of tokens."""
    if not config.token_bits:
        return names
    if config.token_bits_windows == 0:
        return ()
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[DAY.sub("", name, count=1)].append(name)
    return [name for group in alike.values() for name in sorted(group)[: -config.token_bits_windows]]


def prune(config: LeaderboardConfig, *, tell: Callable[[str], None], today: dt.date) -> int:
    """Take the bits of tokens out of the cells of older windows; returns how many bytes that freed.

    Totals, intervals and the costs of documents stay. Cells of corpora that were never published stay as
    they are; so does everything where ``token_bits`` is off: nothing new has any then.

    Args:
        config: says which windows keep them.
        tell: told of each corpus, of how many cells and what that freed.
        today: for the cells.

    Raises:
        ScoringError: a cell cannot be read or written; the others are done.
    """
    num_freed, problems = 0, []
    for name in sorted(without_token_bits(config)) if config.token_bits else ():
        num_cells = num_bytes = 0
        for path in json_files(config.cells_folder / name):
            try:
                freed = prune_token_bits(path, today.isoformat())
            except EvalkitError as error:
                problems.append(str(error))
                continue
            num_cells += freed > 0
            num_bytes += freed
        if num_cells:
            tell(
                f"{name}: the bits of tokens were taken out of {num_cells} cells, {num_bytes / 1e6:,.1f} MB; "
                f"the newest {config.token_bits_windows} windows keep theirs (token_bits_windows)"
            )
        num_freed += num_bytes
    if problems:
        raise ScoringError("; ".join(problems))
    return num_freed
