"""Models with cells of which nobody has looked whether their loads are right."""

from collections.abc import Iterable, Iterator, Sequence

from evalkit.audit.records import kept_audit
from evalkit.cells.schema import CorpusCell, TaskCell
from evalkit.errors import ModelError
from evalkit.models.catalog import EMBEDDED_MODELS
from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import ModelIdentity
from evalkit.runner.options import RunOptions


def unaudited_models(
    located_models: Iterable[LocatedModel], cells: Iterable[CorpusCell | TaskCell], options: RunOptions
) -> tuple[str, ...]:
    """The language models, by name, that have cells and no kept audit; those of the package are left out.

    Args:
        located_models: of a run.
        cells: what it came to.
        options: of the run.
    """
    with_tokens = {
        cell.model.name for cell in cells if isinstance(cell, TaskCell) or not cell.is_of_a_compressor
    }
    identities = {located.identity.name: located.identity for located in located_models}
    named = {name: of for name, of in identities.items() if name in with_tokens - set(EMBEDDED_MODELS)}
    return tuple(name for name, identity in named.items() if not _has_audit(identity, options))


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
            f"not audited: {', '.join(names)}; `evalkit audit MODEL` tells in a minute whether a "
            "load is right, and `run --audit` does so first"
        )
