"""What each task asks, where it comes from, and in what it differs from its source.

``python -m evalkit_tasks.training.tasks.descriptions PAGE`` writes the page of the documentation.
"""

import dataclasses
import functools
import re
import sys
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

from evalkit.fields import Called, Mark, from_json
from evalkit_tasks.training.tasks.catalog import get_task

_CHOICE = r"[A-Z]+"
"""In a name, what stands for a choice."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A publication that a task is taken from."""

    title: str
    url: Annotated[str | None, Mark.MAY_BE_ABSENT] = None

    def __str__(self) -> str:
        return self.title if self.url is None else f"{self.title}, {self.url}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What is said of one task, or of a family of them."""

    names: tuple[str, ...]
    """Of tasks; capitals stand for a choice."""
    summary: str
    source_name: Annotated[str, Called("source")]
    """Among `Descriptions.sources`."""
    differences: tuple[str, ...]
    """In what strings, labels and tests are not the source's."""
    protocol: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """How the source trains and tests, in options of ``evalkit probe train`` where there are any."""
    example: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """A name without a choice, of a family."""

    @property
    def source(self) -> Source:
        """Where it is taken from."""
        return descriptions().sources[self.source_name]

    @property
    def examples(self) -> list[str]:
        """Names of tasks that it is about."""
        return [*([] if self.example is None else [self.example]), *filter(str.islower, self.names)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Descriptions:
    """All of `descriptions.toml`."""

    sources: Mapping[str, Source]
    tasks: tuple[Description, ...]
    """Of the networks that are trained."""
    pretrained: tuple[Description, ...]
    """Those that pretrained models are asked."""


@functools.cache
def descriptions() -> Descriptions:
    """What `descriptions.toml`, beside this module, holds."""
    text = (resources.files(__package__) / "descriptions.toml").read_text(encoding="utf-8")
    return from_json(Descriptions, tomllib.loads(text))


def describe(name: str) -> Description:
    """What is said of a task.

    Args:
        name: see `evalkit_tasks.training.tasks.catalog.get_task`.

    Raises:
        UsageError: there is no such task.
    """
    is_recognition = get_task(name).draw_kind is not None
    of_name = {name: description for description in descriptions().tasks for name in description.names}
    if name in of_name:
        return of_name[name]
    for pattern, description in of_name.items():
        expression = re.sub(_CHOICE, "[^:]+", re.escape(pattern))
        if pattern not in ("GROUP", "regex:PATTERN") and re.fullmatch(expression, name):
            return description
    return of_name["regex:PATTERN" if is_recognition else "GROUP"]


def describe_asked(name: str) -> Description | None:
    """What is said of a task that pretrained models are asked; None of one that is not ours."""
    return next((description for description in descriptions().pretrained if name in description.names), None)


def page() -> str:
    """The page of the documentation that describes the tasks."""
    lines = [
        "# Tasks of the trained probes",
        "",
        "What `evalkit probe train --task` takes, where each task comes from, and in what its strings,",
        "labels and tests still differ from its source; `evalkit probe list` and `evalkit probe show TASK`",
        "say the same. The length of a string is counted in letters (tokens). Of `s5-4tokens` and its",
        "variants, `mqar` and `modular-arithmetic-brackets` the authors' generators and ours were run side",
        "by side: labels of their strings are ours; letters, places and lengths of parts are spread alike.",
        "",
        "Of all strings one in eight, by a hash of its letters, is for tests alone: none is trained on.",
        "",
    ]
    for description in descriptions().tasks:
        lines += _section(description)
    lines += ["## Asked of pretrained models", "", "`evalkit run --tasks` takes these by name.", ""]
    for description in descriptions().pretrained:
        lines += _section(description, "###")
    return "\n".join(lines)


def _section(description: Description, marks: str = "##") -> list[str]:
    """The lines of a task."""
    source = description.source
    link = source.title if source.url is None else f"[{source.title}]({source.url})"
    lines = [f"{marks} {', '.join(f'`{name}`' for name in description.names)}", ""]
    lines += [description.summary, "", f"Source: {link}.", ""]
    if description.protocol is not None:
        lines += [f"As published: {description.protocol}.", ""]
    return [*lines, *(f"- {difference}" for difference in description.differences), ""]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
