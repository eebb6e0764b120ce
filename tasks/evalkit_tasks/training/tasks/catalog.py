"""The tasks of the trained probes, by name."""

import re

from evalkit.errors import UsageError, unknown_name
from evalkit_tasks.formal.languages import get_language, language_names
from evalkit_tasks.training.tasks.automaton import automaton_task
from evalkit_tasks.training.tasks.other import OTHER_TASKS
from evalkit_tasks.training.tasks.task import ProbeTask


def task_names() -> list[str]:
    """Every task that has a fixed name, in the order of tables."""
    return [*(name for name in language_names() if name != "mod-7"), *OTHER_TASKS]


def get_task(name: str) -> ProbeTask:
    """The task of a name.

    Args:
        name: one of `task_names`, or whatever `evalkit_tasks.formal.languages.get_language` takes.

    Raises:
        UsageError: it names nothing.
    """
    if name in OTHER_TASKS:
        return OTHER_TASKS[name]()
    try:
        automaton = get_language(name)
    except UsageError:
        is_sized = re.fullmatch(r"[zsa]\d+(x[zsa]\d+)*|mod-\d+", name)  # too large: the error says so
        if re.fullmatch(r"[a-z][a-z0-9-]+", name) and not is_sized:
            hint = f"Known: {', '.join(task_names())}, random:SEED[:STATES[:LETTERS]], regex:PATTERN."
            raise unknown_name("task", name, task_names(), hint) from None
        raise
    return automaton_task(name, automaton)
