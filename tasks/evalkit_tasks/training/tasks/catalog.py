"""The tasks of the trained probes, by name."""

import functools
import re
from collections.abc import Callable

from evalkit.errors import UsageError, unknown_name
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.languages import UnknownLanguageError, get_language, language_names
from evalkit_tasks.training.tasks import code_traces, permutations
from evalkit_tasks.training.tasks.arithmetic import modular_arithmetic, modular_arithmetic_brackets
from evalkit_tasks.training.tasks.automaton import automaton_task
from evalkit_tasks.training.tasks.flip_flop import flip_flop
from evalkit_tasks.training.tasks.other import OTHER_TASKS
from evalkit_tasks.training.tasks.recall import mqar, mqar_mixture
from evalkit_tasks.training.tasks.task import ProbeTask

_PUBLISHED: dict[str, Callable[[], ProbeTask]] = {
    "flip-flop": flip_flop,
    "s5-4tokens": functools.partial(permutations.block_task, "s5-4tokens"),
    "s5-swaps-hard": permutations.hard_swaps,
    "modular-arithmetic": modular_arithmetic,
    "modular-arithmetic-brackets": modular_arithmetic_brackets,
    "modular-arithmetic-brackets-sums": functools.partial(modular_arithmetic_brackets, has_products=False),
    "mqar": mqar_mixture,
}
_BY_PREFIX: dict[str, Callable[[str], ProbeTask]] = {
    "mqar:": mqar,
    "word-problem:": permutations.word_problem,
    "code-trace:": code_traces.code_trace,
    "code-trace-srs:": code_traces.code_trace,
}


def task_names() -> list[str]:
    """Every task that has a fixed name, in the order of tables."""
    languages = [name for name in language_names() if name != "mod-7"]
    return list(dict.fromkeys([*languages, *_PUBLISHED, *OTHER_TASKS]))


@functools.lru_cache(maxsize=64)
def get_task(name: str) -> ProbeTask:
    """The task of a name.

    Args:
        name: one of `task_names`; ``mqar:KV``, ``word-problem:GROUP``, ``code-trace:GROUP``,
            ``GROUP-Ntokens`` and their variants (see the modules of these tasks); or whatever
            `evalkit_tasks.formal.languages.get_language` takes.

    Raises:
        UsageError: it names nothing, or a file.
    """
    if name.startswith("file:"):
        raise UsageError(f"{name}: networks are trained on what a name defines; a file can change behind it")
    if (task := _published_task(name)) is not None:
        return task
    try:
        automaton = get_language(name)
    except UnknownLanguageError:
        hint = f"Known: {', '.join(task_names())}, {', '.join(_BY_PREFIX)}random:SEED, regex:PATTERN."
        raise unknown_name("task", name, task_names(), hint) from None
    return automaton_task(name, automaton)


def language_of_task(name: str) -> Automaton | None:
    """The automaton whose labels a task asks for; None where they are no regular language's.

    Raises:
        UsageError: there is no such task.
    """
    name = name.removeprefix("word-problem:")
    if name.startswith("file:") or (name not in language_names() and _published_task(name) is not None):
        return None
    return get_language(name)


def _published_task(name: str) -> ProbeTask | None:
    """A task with strings of its own; None for those that an automaton defines."""
    if (make := _PUBLISHED.get(name) or OTHER_TASKS.get(name)) is not None:
        return make()
    if ":" in name and (make_named := _BY_PREFIX.get(name[: name.index(":") + 1])) is not None:
        return make_named(name)
    return permutations.block_task(name) if re.fullmatch(permutations.BLOCK_PATTERN, name) else None
