"""Keys of cells: digests of everything that determines the numbers, and what differs in versions only."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from evalkit.cells.reading import AnyCell, read_cell
from evalkit.cells.schema import CellModel
from evalkit.errors import ScoringError
from evalkit.fields import FieldError
from evalkit.models.protocol import ModelIdentity

KeyParts = Mapping[str, object]

_ENCODER = json.JSONEncoder(sort_keys=True)
_VERSIONS = ("numerics",)
"""Parts that a new version of a library changes, whether or not it changes the numbers."""


def key_of(parts: KeyParts) -> str:
    """Digest of the parts: 24 hexadecimal digits."""
    return hashlib.sha256(_ENCODER.encode(parts).encode()).hexdigest()[:24]


def identity_parts(identity: ModelIdentity) -> dict[str, object]:
    """What an identity adds to a key; what it does not state is no part, so that older keys stay."""
    return _model_parts(identity, identity.prefix, identity.context_limit)


def cell_model_parts(model: CellModel, prefix_rule: str, context_limit: int | None) -> dict[str, object]:
    """The same parts, as the cell of a model says them."""
    return _model_parts(model, prefix_rule, context_limit)


def _model_parts(
    model: ModelIdentity | CellModel, prefix_rule: str, context_limit: int | None
) -> dict[str, object]:
    stated = {"config": model.config_sha256, "numerics": model.numerics}
    return {
        "loader": model.loader,
        "revision": model.revision,
        "weights": model.weights_sha256,
        "dtype": model.dtype,
        "tokenizer": model.tokenizer_sha256,
        "prefix": prefix_rule,
        "context_limit": context_limit,
        **{name: value for name, value in stated.items() if value is not None},
    }


def protocol_prefix_parts(ids: Sequence[int], chunk_ids: Sequence[int]) -> dict[str, object]:
    """What stands in a key in place of the prefix's rule, where a policy's protocol says what is read."""
    parts: dict[str, object] = {"prefix": "ids " + ",".join(map(str, ids))}
    return parts | ({"chunk_prefix": list(chunk_ids)} if chunk_ids else {})


def context_prefix_parts(ids: Sequence[int] | None) -> dict[str, object]:
    """What a key has of what is read before documents' contexts; nothing where no document has one."""
    return {} if ids is None else {"context_prefix": list(ids)}


def check_parts(stated: KeyParts, parts: KeyParts) -> None:
    """Refuse a cell that lies under another's key: then it is of another model, text or policy.

    Args:
        stated: the parts of the key by what the cell says.
        parts: those of the key that it has.

    Raises:
        FieldError: they are not the same.
    """
    for name in sorted({*stated, *parts}):
        if stated.get(name) != parts.get(name):
            raise FieldError(f"its {name} is {stated.get(name)!r}, its key says {parts.get(name)!r}")


def differ_in_versions_only(first: KeyParts, second: KeyParts) -> bool:
    """Whether two cells have the same numbers but for what another version of a library may do to them."""
    return _without_versions(first) == _without_versions(second)


def accepted(identity: ModelIdentity, subject: str, model: CellModel) -> str:
    """A line that says which cell was taken in place of the one that is not there."""
    computed_by = model.numerics or "a version that was not recorded"
    return f"{identity.name} on {subject}: accepted, computed by {computed_by}; this is {identity.numerics}"


def cells_in(folder: Path, *, warn: Callable[[str], None]) -> Iterator[AnyCell]:
    """The cells in a folder, newest first; of files that are none, or cannot be read, ``warn`` is told."""
    cells = []
    for path in filter(Path.is_file, folder.glob("*.json")):
        try:
            cells.append(read_cell(path, remedy="passed over"))
        except ScoringError as error:
            warn(str(error))
    yield from sorted(cells, key=lambda cell: cell.created, reverse=True)


def _without_versions(parts: KeyParts) -> dict[str, object]:
    return {name: value for name, value in parts.items() if name not in _VERSIONS}
