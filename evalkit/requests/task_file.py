"""The file that says how a data set's rows become contexts and continuations: TOML or YAML."""

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from evalkit.corpora.document import check_plain_name
from evalkit.corpora.licenses import checked_license
from evalkit.corpora.readers import HUB_PREFIX
from evalkit.errors import UsageError, first_line
from evalkit.fields import FieldError, Mark, from_json
from evalkit.files import parse_toml, plain_file_text

_MOST_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Where rows are read."""

    path: str
    """Relative to the task file: JSON, JSONL, CSV, Parquet; or ``hub:OWNER/NAME[/CONFIG]@COMMIT``."""
    split: Annotated[str | None, Mark.MAY_BE_ABSENT] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shots:
    """Solved examples before every question: the first of some rows."""

    num_shots: int
    path: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """None: the first rows of the data itself, which are then no questions."""
    split: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    separator: Annotated[str, Mark.MAY_BE_ABSENT] = "\n\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFile:
    """How a request set is made."""

    name: str
    """Of the corpus that is made."""
    kind: str
    """One of `evalkit.requests.kinds.KINDS`."""
    data: Rows
    columns: Annotated[Mapping[str, str], Mark.MAY_BE_ABSENT] = dataclasses.field(default_factory=dict)
    """What the columns are called that the kind reads, where their names are others; several by commas."""
    values: Annotated[Mapping[str, str], Mark.MAY_BE_ABSENT] = dataclasses.field(default_factory=dict)
    """Constants for the templates."""
    choices: Annotated[Mapping[str, str], Mark.MAY_BE_ABSENT] = dataclasses.field(default_factory=dict)
    """The choices of every row by what says the right one, where the data has none of its own."""
    context: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """Template; None: the kind's own."""
    continuation: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """The same."""
    description: Annotated[str, Mark.MAY_BE_ABSENT] = ""
    """What stands before every context."""
    shots: Annotated[Shots | None, Mark.MAY_BE_ABSENT] = None
    gold_from: Annotated[int, Mark.MAY_BE_ABSENT] = 0
    """The number of the first choice, where the right one is given by its number."""
    blank: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """What stands for the blank of a cloze text; None: its last word is asked for."""
    limit: Annotated[int | None, Mark.MAY_BE_ABSENT] = None
    """How many rows are read, from the first on."""
    source: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    license: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    language: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    date_from: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    date_to: Annotated[str | None, Mark.MAY_BE_ABSENT] = None


@dataclasses.dataclass(frozen=True)
class LoadedTask:
    """A task file that was read."""

    file: TaskFile
    folder: Path
    """In which relative paths begin."""
    sha256: str
    """Of the file's content."""

    def place(self, path: str) -> str:
        """Where rows lie, as the readers of corpora take it."""
        return path if path.startswith(HUB_PREFIX) else str(self.folder / path)


def load_task(path: Path) -> LoadedTask:
    """Read a task file.

    Raises:
        UsageError: it cannot be read, or a field is missing, unknown or wrong.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path}: it has more than {_MOST_BYTES:,} bytes, which no task file needs")
        text = plain_file_text(path)
        content = parse_toml(text) if path.suffix.lower() == ".toml" else _parse_yaml(text)
        file = from_json(TaskFile, _dates_as_text(content))
    except FieldError as error:
        is_yaml = path.suffix.lower() != ".toml" and str(error).endswith(("True", "False"))
        hint = "; YAML reads yes, no, on and off so: put quotes around them" if is_yaml else ""
        raise UsageError(f"{path}: {error}{hint}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        raise UsageError(f"{path}: it cannot be read as a task file: {reason}") from error
    check_plain_name(file.name)
    num_shots = None if file.shots is None else file.shots.num_shots
    for name, number in (("limit", file.limit), ("shots.num_shots", num_shots)):
        if number is not None and number < 1:
            raise UsageError(f"{path}: {name} is {number}; give 1 or more, or leave it out")
    if file.license is not None:
        file = dataclasses.replace(file, license=checked_license(file.license, f"{path}: license"))
    return LoadedTask(file, path.parent, hashlib.sha256(text.encode("utf-8")).hexdigest())


def _dates_as_text(content: object) -> object:
    """Both languages make of a date without quotes something else than of one with them."""
    if not isinstance(content, Mapping):
        return content
    return {
        name: value.isoformat() if isinstance(value, datetime.date) else value
        for name, value in content.items()
    }


def _parse_yaml(text: str) -> object:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml is untyped
        """Refuses a name that is said twice, of which YAML takes the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
            seen = set()
            for name, _ in node.value:
                if isinstance(name, yaml.ScalarNode) and name.value in seen:
                    raise ValueError(f"{name.value!r} stands twice, again in line {name.start_mark.line + 1}")
                seen.add(name.value if isinstance(name, yaml.ScalarNode) else name)
            mapping: dict[object, object] = super().construct_mapping(node, deep)
            return mapping

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(first_line(error)) from error
