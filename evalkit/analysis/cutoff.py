"""Whether a model can have read a corpus in training, as far as dates tell."""

from typing import NamedTuple

from evalkit.cells.schema import CellModel, CorpusCell
from evalkit.dates import last_day


class CutoffNote(NamedTuple):
    """What the dates of a model and a corpus say."""

    may_have_read: bool | None
    """None where a date is missing, False for a compressor."""
    text: str


def cutoff_note(cell: CorpusCell, model: CellModel) -> CutoffNote:
    """What a cell's dates say: a model has read nothing that was published after its cutoff or release.

    Args:
        cell: what was scored.
        model: the cell's model, with whatever else is known of it.
    """
    if cell.is_of_a_compressor:
        return CutoffNote(False, "a compressor, which has read nothing")
    cutoff, released = model.knowledge_cutoff, model.released
    known, word = (cutoff, "cutoff") if cutoff else (released, "release")
    first = cell.corpus.date_from
    if not known:
        return CutoffNote(None, "neither the model's cutoff nor its release date is known")
    if not first:
        return CutoffNote(None, f"the corpus is undated; the model's {word} is {known}")
    if first <= last_day(known).isoformat():
        return CutoffNote(
            True, f"may have been read in training: it starts on {first}, the model's {word} is {known}"
        )
    return CutoffNote(False, f"newer than the model: it starts on {first}, the model's {word} is {known}")
