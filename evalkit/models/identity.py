"""Whether a model that was loaded is the one that the plan had: otherwise there is no cell of it."""

from collections.abc import Sequence

from evalkit.errors import ModelError
from evalkit.models.model_files import ModelFile, has_stated_content
from evalkit.models.protocol import ModelIdentity

_KEY_FIELDS = (
    "loader",
    "revision",
    "weights_sha256",
    "tokenizer_sha256",
    "config_sha256",
    "numerics",
    "prefix",
    "policy_prefixes",
    "prefix_candidates",
    "dtype",
    "context_limit",
)
"""What a cell's key has of an identity."""


def check_same(planned: ModelIdentity, loaded: ModelIdentity) -> None:
    """Refuse a model that is not the one that was planned.

    Raises:
        ModelError: they differ; the message names the files that changed.
    """
    fields = [name for name in _KEY_FIELDS if getattr(planned, name) != getattr(loaded, name)]
    changed = _changed_names(planned.files, loaded.files)
    if not fields and not changed:
        return
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ModelError(
            f"{planned.name}: {changed[0]}{more} changed between planning and loading; run again"
        )
    changes = ", ".join(f"{name} {getattr(planned, name)} to {getattr(loaded, name)}" for name in fields)
    raise ModelError(f"{planned.name}: changed between planning and loading ({changes}); run again")


def check_untouched(loaded: ModelIdentity, again: ModelIdentity) -> None:
    """Refuse a model whose files were written to, or are not what the hub says, when it had been loaded.

    Args:
        loaded: taken before the weights were read.
        again: taken after.

    Raises:
        ModelError: a file is not what it was, or not what it should be.
    """
    check_same(loaded, again)
    before = {file.name: file.stamp for file in loaded.files}
    for file in again.files:
        if before[file.name] not in (None, file.stamp):
            raise ModelError(f"{again.name}: {file.name} was written to while it was loaded; run again")
        if not has_stated_content(file):
            raise ModelError(
                f"{again.name}: {file.name} in the local cache is damaged: it is not what the hub states; "
                f"delete {file.path and file.path.resolve()} and run again"
            )


def _changed_names(planned: Sequence[ModelFile], loaded: Sequence[ModelFile]) -> list[str]:
    before, after = ({file.name: file.digest for file in files} for files in (planned, loaded))
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
