"""The suites ``state-tracking`` and ``regular-languages``: pretrained models asked by likelihood.

Intervals are over items. The solved examples are the same for all items of a cell, so that they are read
once; another seed draws others.
"""

import dataclasses
from collections.abc import Sequence

from evalkit.errors import UsageError
from evalkit.tasks import EvalTask, TaskOptions
from evalkit_tasks.asking.hidden_state_task import HiddenStateTask
from evalkit_tasks.asking.items import MAX_SHOTS, AnyFamily, make_items, make_shots
from evalkit_tasks.asking.items_formal import FORMAL_FAMILIES
from evalkit_tasks.asking.items_membership import MEMBERSHIP
from evalkit_tasks.asking.items_stories import STORY_FAMILIES
from evalkit_tasks.asking.likelihood_task import LikelihoodTask

MAX_LENGTH = 256
"""Operations of a story."""


@dataclasses.dataclass(frozen=True)
class LikelihoodSuite:
    """Families under one name; see `evalkit.tasks.TaskSuite`."""

    families: tuple[AnyFamily, ...]

    @property
    def members(self) -> dict[str, str]:
        """The description of each family, by its name."""
        return {family.name: family.description for family in self.families}

    def make(self, names: Sequence[str], options: TaskOptions) -> list[EvalTask]:
        """A task for each family and number of shots, and the probe where it is asked for."""
        if max(options.lengths) > MAX_LENGTH:
            raise UsageError(f"--lengths {max(options.lengths)} is too long a story; {MAX_LENGTH} at most")
        if max(options.shots) > MAX_SHOTS:
            raise UsageError(f"--shots {max(options.shots)} are too many; {MAX_SHOTS} at most")
        if options.hidden_state_probe and options.num_items * sum(map(bool, options.lengths)) < 4:
            raise UsageError(
                "--hidden-state-probe needs 4 items with operations at least; give a greater --limit"
            )
        tasks: list[EvalTask] = []
        date, seed = options.date, options.seed
        for family in self.families:
            if family.name not in names:
                continue
            if max(options.lengths) < family.fewest_operations:
                raise UsageError(
                    f"--lengths {max(options.lengths)}: the shortest questions of {family.name} have length "
                    f"{family.fewest_operations}; give a greater one too"
                )
            items = make_items(
                family, date=date, seed=seed, lengths=options.lengths, num_items=options.num_items
            )
            for num_shots in options.shots:
                shots = make_shots(family, date=date, seed=seed, num_shots=num_shots)
                tasks.append(LikelihoodTask(family, tuple(items), tuple(shots), date, seed))
            if options.hidden_state_probe:
                singles = tuple(item for item in items if item.twin_of is None and item.length > 0)
                tasks.append(HiddenStateTask(family, singles, date, seed))
        return tasks


state_tracking = LikelihoodSuite((*STORY_FAMILIES, *FORMAL_FAMILIES))
"""``evalkit run --tasks state-tracking``"""

regular_languages = LikelihoodSuite((MEMBERSHIP,))
"""``evalkit run --tasks regular-languages``"""
