"""Audits beside the cells: ``<output>/audits/<model>/<key>/audit.json``, of each configuration of a model."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evalkit.audit.result import ModelAudit, audit_of
from evalkit.cells.keys import identity_parts
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.audit import AUDIT_FILE
from evalkit.errors import ModelError
from evalkit.fields import FieldError
from evalkit.files import atomic_write, parse_json, plain_file_text, slug, strict_json
from evalkit.models.protocol import ModelIdentity
from evalkit.scoring.policy import DEFAULT_POLICY

FOLDER = "audits"
CHECKS_VERSION = 1
"""Part of every audit's key; raised by a change of the checks after which a model should be audited again."""


def audit_key(identity: ModelIdentity) -> str:
    """Digest of what an audit is of: the model's part of a cell's key, and the version of the checks."""
    parts = {**identity_parts(identity), "checks": CHECKS_VERSION}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def audit_path(output: Path, identity: ModelIdentity) -> Path:
    """Where a model's audit lies."""
    return output / FOLDER / slug(identity.name) / audit_key(identity) / AUDIT_FILE


def write_audit(audit: ModelAudit, path: Path) -> None:
    """Write an audit, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(strict_json(audit.to_json()), encoding="utf-8")


def read_audit(path: Path) -> ModelAudit | None:
    """The audit at a path; None where nothing is there.

    Raises:
        FieldError: what is there is none.
        OSError: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        content = parse_json(plain_file_text(path))
    except ValueError as error:
        raise FieldError(f"it is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise FieldError("it is no object")
    return audit_of(content)


def kept_audit(output: Path, identity: ModelIdentity) -> ModelAudit | None:
    """The newest kept audit of a model, by whatever name it was audited.

    Raises:
        ModelError: what lies in its place is no audit.
    """
    audits: list[ModelAudit] = []
    for path in sorted((output / FOLDER).glob(f"*/{audit_key(identity)}/{AUDIT_FILE}")):
        try:
            audit = read_audit(path)
        except (FieldError, OSError) as error:
            raise ModelError(
                f"{path} is no audit ({error}); delete it, and audit {identity.name} again"
            ) from error
        audits += [audit] if audit is not None else []
    return max(audits, key=lambda audit: audit.created, default=None)


def kept_fault(output: Path, identity: ModelIdentity) -> str | None:
    """The fault for which the kept audit of a model failed; None: it passed, or there is none.

    Raises:
        ModelError: what lies in its place is no audit.
    """
    audit = kept_audit(output, identity)
    return None if audit is None or audit.passed else audit.likely_fault


def check_audit(output: Path, identity: ModelIdentity) -> None:
    """Refuse a model whose kept audit failed.

    Raises:
        ModelError: it did; the message says for what, and how to score it all the same.
    """
    fault = kept_fault(output, identity)
    if fault is not None:
        raise ModelError(
            f"{identity.name} failed its audit ({fault}) and gets no cell; see `evalkit audit`, or score it "
            "with --unaudited, which the cell and the board show"
        )


def audit_of_cell(audits: Sequence[ModelAudit], cell: CorpusCell) -> ModelAudit | None:
    """The newest audit of the weights, the tokenizer, the precision and the context that a cell is of.

    Also of the prefix, under the default policy; others read what their protocols say.
    """
    of_model = [
        audit
        for audit in audits
        if (audit.model.loader, audit.model.weights_sha256, audit.model.tokenizer_sha256, audit.model.dtype)
        == (cell.model.loader, cell.model.weights_sha256, cell.model.tokenizer_sha256, cell.model.dtype)
        and audit.model.context_limit == cell.policy.context_limit
        and (
            cell.policy.name != DEFAULT_POLICY
            or audit.model.prefix == (cell.policy.planned_rule or cell.policy.prefix_rule)
        )
    ]
    return max(of_model, key=lambda audit: audit.created, default=None)


def audits_in(output: Path, *, warn: Callable[[str], None]) -> Iterator[ModelAudit]:
    """All audits of a folder of results, by path; of a file that is none ``warn`` is told."""
    for path in sorted((output / FOLDER).glob(f"*/*/{AUDIT_FILE}")):
        try:
            audit = read_audit(path)
        except (FieldError, OSError) as error:
            warn(f"{path} is no audit: {error}; passed over")
            continue
        if audit is not None:
            yield audit
