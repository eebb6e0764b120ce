"""Models with cells of which nobody has looked whether their loads are right."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from evalkit.audit.records import kept_audit
from evalkit.audit.shipped import shipped_names
from evalkit.cells.schema import CorpusCell, TaskCell
from evalkit.displayed import first_of
from evalkit.errors import ModelError
from evalkit.models.catalog import EMBEDDED_MODELS
from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import ModelIdentity
from evalkit.runner.options import RunOptions


def unaudited_models(
    first_cells: Iterable[tuple[LocatedModel, Callable[[], CorpusCell | TaskCell]]], options: RunOptions
) -> tuple[str, ...]:
    """The language models, by name, that have cells and no kept audit.

    Those of the package that have a fingerprint there are left out: it is made of models that pass.

    Args:
        first_cells: the models of a run that have cells, and what gives the first that each has.
        options: of the run.
    """
    passed = {*EMBEDDED_MODELS} & {*shipped_names()}
    named = {located.identity.name: (located.identity, give) for located, give in first_cells}
    return tuple(
        name
        for name, (identity, give) in named.items()
        if name not in passed and not _has_audit(identity, options) and _has_tokens(give())
    )


def _has_tokens(cell: CorpusCell | TaskCell) -> bool:
    return isinstance(cell, TaskCell) or not cell.is_of_a_compressor


def _has_audit(identity: ModelIdentity, options: RunOptions) -> bool:
    try:
        return kept_audit(options.folder, identity) is not None
    except ModelError as error:  # the cells are there all the same
        options.reporter.message(str(error))
        return False


def unaudited_notes(names: Sequence[str]) -> Iterator[str]:
    """What a run's reader is told of them; nothing where there are none."""
    if names:
        yield (
            f"not audited: {first_of(names)}; `evalkit audit MODEL` tells in a minute whether a "
            "load is right, and `run --audit` does so first"
        )
