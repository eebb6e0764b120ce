"""Which strings a step trains on: of one length, or of the parts of a task's mixture."""

import numpy as np

from evalkit.errors import UsageError
from evalkit_tasks.training.tasks.strings import Split, training_strings, usable_length
from evalkit_tasks.training.tasks.task import Part, ProbeTask, Strings


def training_groups(
    task: ProbeTask,
    bounds: tuple[int, int],
    num_strings: int,
    generator: np.random.Generator,
    lengths: np.random.Generator | None = None,
    split: Split = "training",
) -> list[Strings]:
    """The strings of a training batch, those of each length together.

    Args:
        task: of the strings.
        bounds: letters of the shortest and of the longest that are trained on.
        num_strings: of the batch.
        generator: the source of chance.
        lengths: that of the lengths, and of how many strings each has; None: the same.
        split: ``fitting`` for strings that no validation uses either.

    Raises:
        UsageError: there is no string of such a length.
    """
    shortest, longest = bounds
    lengths = generator if lengths is None else lengths
    if task.mixture is None:
        length = int(lengths.integers(shortest, longest + 1))
        length = usable_length(task, length, 1, longest, split)
        return [training_strings(task, length, num_strings, generator, split)]
    parts = mixture_parts(task, shortest, longest)
    weights = np.array([part.weight for part in parts])
    num_draws = num_strings if task.mixture.is_mixed_in_batches else 1
    counts = lengths.multinomial(num_draws, weights / weights.sum()) * (num_strings // num_draws)
    return [
        _part_strings(task, part, count, generator, split)
        for part, count in zip(parts, counts.tolist(), strict=True)
        if count
    ]


def mixture_parts(task: ProbeTask, shortest: int, longest: int) -> list[Part]:
    """What a task's training on strings of such lengths is mixed of.

    Raises:
        UsageError: of nothing.
    """
    parts = [] if task.mixture is None else list(task.mixture.parts(shortest, longest))
    if not parts:
        raise UsageError(
            f"{task.name}: it has no strings of {shortest} to {longest} letters to train on; "
            "give a greater --train-length"
        )
    return parts


def _part_strings(
    task: ProbeTask, part: Part, num_strings: int, generator: np.random.Generator, split: Split
) -> Strings:
    if part.draw is not None:
        task = task._replace(draw=part.draw)
    if not part.is_tested:
        return task.draw(part.length, num_strings, generator)
    return training_strings(task, part.length, num_strings, generator, split)
