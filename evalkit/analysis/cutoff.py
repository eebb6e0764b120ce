"""Whether a model can have read a corpus in training, as far as dates tell."""

from typing import Any, NamedTuple

from evalkit.dates import last_day


class CutoffNote(NamedTuple):
    """What the dates of a model and a corpus say."""

    may_have_read: bool | None
    """None where a date is missing, False for a compressor."""
    text: str


def cutoff_note(cell: dict[str, Any]) -> CutoffNote:
    """What a cell's dates say: a model has read nothing that was published after its cutoff or release.

    Args:
        cell: its content.
    """
    model, corpus = cell["model"], cell["corpus"]
    if cell["totals"]["num_tokens"] is None:
        return CutoffNote(False, "a compressor, which has read nothing")
    cutoff, released = model.get("knowledge_cutoff"), model.get("released")
    known, word = (cutoff, "cutoff") if cutoff else (released, "release")
    first = corpus["date_from"]
    if not known:
        return CutoffNote(None, "neither the model's cutoff nor its release date is known")
    if not first:
        return CutoffNote(None, f"the corpus is undated; the model's {word} is {known}")
    if first <= last_day(known).isoformat():
        return CutoffNote(
            True, f"may have been read in training: it starts on {first}, the model's {word} is {known}"
        )
    return CutoffNote(False, f"newer than the model: it starts on {first}, the model's {word} is {known}")
