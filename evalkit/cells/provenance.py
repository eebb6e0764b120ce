"""Where a cell comes from, as it says it: the model's identity, the machine and the software."""

from collections.abc import Sequence
from typing import TypeVar

from evalkit.cells.environment_schema import Environment
from evalkit.cells.schema import CellModel, TaskCellModel
from evalkit.dates import last_day
from evalkit.environment import environment, torch_environment
from evalkit.errors import ModelError
from evalkit.fields import from_json
from evalkit.models.prefixes import stated_rule, token_text
from evalkit.models.protocol import ModelIdentity

_LAST_CHECKED: list[ModelIdentity] = []
"""The last identity that was found right, if there was one."""

M = TypeVar("M", bound=CellModel)


def cell_model(identity: ModelIdentity) -> CellModel:
    """What a cell of a corpus says of its model.

    Raises:
        ModelError: the identity's details are not what a cell can hold.
    """
    return _checked(CellModel, identity, _fields(identity))


def check_identity(identity: ModelIdentity) -> None:
    """Refuse a model that no cell can name; its cells in a row ask for it once.

    Raises:
        ModelError: the identity's details are not what a cell can hold.
    """
    if not (_LAST_CHECKED and _LAST_CHECKED[0] is identity):
        cell_model(identity)
        _LAST_CHECKED[:] = [identity]


def task_cell_model(identity: ModelIdentity, prefix: Sequence[int] = ()) -> TaskCellModel:
    """What a cell of a task says of its model.

    Args:
        identity: of the model.
        prefix: the ids that were read before every question.

    Raises:
        ModelError: the identity's details are not what a cell can hold.
    """
    rule = stated_rule(identity.prefix, prefix)
    fields = {
        **_fields(identity),
        "context_limit": identity.context_limit,
        "prefix_rule": rule,
        "prefix_ids": [int(token) for token in prefix],
        "planned_rule": None if rule == identity.prefix else identity.prefix,
        "prefix_text": token_text(prefix, identity.token_names),
    }
    return _checked(TaskCellModel, identity, fields)


def cell_environment(device: str | None, **changes: object) -> Environment:
    """What the cells of this process say of machine and software.

    To be asked before the scoring: what goes wrong with it should not cost hours.

    Args:
        device: on which torch computes; None where it takes no part.
        changes: entries that this process cannot see, by name.
    """
    entries = environment() | ({} if device is None else torch_environment(device)) | changes
    return from_json(Environment, entries, "environment")


def _fields(identity: ModelIdentity) -> dict[str, object]:
    return {
        "name": identity.name,
        "loader": identity.loader,
        "revision": identity.revision,
        "weights_sha256": identity.weights_sha256,
        "tokenizer_sha256": identity.tokenizer_sha256,
        "config_sha256": identity.config_sha256,
        "numerics": identity.numerics,
        "dtype": identity.dtype,
    }


def _checked(cls: type[M], identity: ModelIdentity, fields: dict[str, object]) -> M:
    taken = sorted(fields.keys() & identity.details.keys())
    if taken:
        raise ModelError(
            f"{identity.name}: its details must not be called {', '.join(taken)}, as fields of a cell are"
        )
    try:
        model = from_json(cls, {**fields, **identity.details}, "model")
        for date in (model.knowledge_cutoff, model.released):
            if date is not None:
                last_day(date)
    except ValueError as error:  # FieldError is one
        raise ModelError(f"{identity.name}: its identity cannot be kept in a cell: {error}") from error
    return model
