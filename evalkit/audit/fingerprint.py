"""Fingerprints: what a checkpoint costs on fixed texts, as a small file for other ports to be held against.

A file has the costs of every token of the eleven sections of `evalkit.audit.texts`, those of a short probe in
full, and what the probe costs in every fault that is known (`evalkit.audit.signatures`). docs/audit.md says
what each field means, so that no Python is needed to use it.
"""

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.audit.result import FAULTS, ModelAudit, now
from evalkit.audit.shipped import shipped_file, shipped_names
from evalkit.audit.signatures import signatures
from evalkit.audit.subject import Nats
from evalkit.audit.texts import sections, text_sha256
from evalkit.corpora.document import Document, make_document
from evalkit.errors import LossyTextError, ModelError, ScoringError, UsageError
from evalkit.fields import FieldError, Mark, from_json, to_json
from evalkit.files import atomic_write, parse_json, plain_file_text
from evalkit.models.protocol import TokenModel
from evalkit.scoring.documents import BITS_PER_NAT, score_documents
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.scoring.tokens import TokenSpool
from evalkit.version import __version__

SCHEMA_VERSION = 1
KIND = "evalkit fingerprint"
NUM_PROBE_TOKENS = 256
UNITS_PER_NAT = 1024
"""Costs of the sections' tokens are whole numbers of 1/1024 nat."""
CURVE_EDGES = (0, 1, 4, 16, 64, 256, 1024)
"""Tokens before a token, between which the position curve takes costs together; the last has no end."""
COMPARED_SECTIONS = ("latin", "han", "code")
"""What of a port is read that is compared; of the other sections only the tokens are."""
_MOST_UNITS = 65535


@dataclasses.dataclass(frozen=True, kw_only=True)
class FingerprintedModel:
    """Of which checkpoint a fingerprint is, and by what it was computed."""

    name: str
    loader: str
    revision: str | None
    weights_sha256: str
    tokenizer_sha256: str
    config_sha256: str | None
    numerics: str | None
    dtype: str
    prefix_ids: tuple[int, ...]
    context_limit: int | None
    vocab_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SectionCosts:
    """What a section costs, read alone after the prefix."""

    name: str
    num_bytes: int
    num_tokens: int
    ids_sha256: str
    """Of the ids as little-endian int32."""
    first_ids: tuple[int, ...]
    total_nats: float | None
    """None where only its tokens were looked at, as of a port that is compared."""
    nats: str
    """Base64 of little-endian uint16: each token's cost in 1/1024 nat, 65535 where it is more."""

    def costs(self) -> Nats:
        """Each token's cost in nats, to a two-thousandth."""
        units = np.frombuffer(base64.b64decode(self.nats), "<u2")
        return units.astype(np.float64) / UNITS_PER_NAT


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The mean cost of the tokens of `COMPARED_SECTIONS` that have so many before them in their section."""

    first: int
    num_tokens: int
    mean_nats: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """The first tokens of the section in Latin script, with costs to a millionth of a nat."""

    ids: tuple[int, ...]
    nats: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaultCosts:
    """What the probe costs with a fault."""

    fault: str
    nats: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A checkpoint's costs on the fixed texts."""

    kind: str
    schema_version: int
    created: str
    evalkit: str
    text_sha256: str
    model: FingerprintedModel
    audit: Mapping[str, str]
    """The outcome of every check of the audit that signed it off; empty of a port that is compared."""
    sections: tuple[SectionCosts, ...]
    curve: tuple[CurvePoint, ...]
    probe: Probe
    faults: tuple[FaultCosts, ...]
    tolerances: Mapping[str, float]
    """By data type, the mean difference of a token's cost, in nats, up to which it is the same model."""
    note: Annotated[str | None, Mark.MAY_BE_ABSENT] = None


TOLERANCES = {
    "float64": 1e-6,
    "float32": 3e-4,
    "float16": 0.01,
    "bfloat16": 0.05,
    "8-bit": 0.05,
    "4-bit": 0.4,
}
"""Mean difference of a token's cost from the checkpoint in float32, in nats. Seen: 2e-6 for float32 by
another program, 5e-3 and 1.2e-2 for bfloat16."""


@torch.inference_mode()
def fingerprint_of(
    model: TokenModel, audit: ModelAudit | None = None, *, compared: Sequence[str] = COMPARED_SECTIONS
) -> Fingerprint:
    """Read the fixed texts.

    Args:
        model: what is read; without an audit, a port that is to be compared.
        audit: its audit, which has to have passed: then the costs in every known fault are added.
        compared: without an audit, the sections whose costs are looked at.

    Raises:
        ModelError: the audit failed.
        ScoringError: the model gives a cost that is no number.
    """
    if audit is not None and not audit.passed:
        raise ModelError(
            f"{model.identity.name} has failed its audit ({', '.join(audit.faults)}) and gets no fingerprint"
        )
    identity = model.identity
    documents = [make_document(section.text, source="audit", id=section.name) for section in sections()]
    nats_of = _section_nats(model, [document for document in documents if audit or document.id in compared])
    section_costs = [
        costs
        for document in documents
        if (costs := _section_costs(model, document, nats_of.get(document.id))) is not None
    ]
    if not section_costs:
        raise ScoringError(f"{identity.name} can represent none of the audit's texts")
    ids, nats = _probe(model)
    return Fingerprint(
        kind=KIND,
        schema_version=SCHEMA_VERSION,
        created=now(),
        evalkit=__version__,
        text_sha256=text_sha256(),
        model=_fingerprinted(model),
        audit={check.name: check.outcome for check in audit.checks} if audit else {},
        sections=tuple(section_costs),
        curve=_curve([nats_of[name] for name in COMPARED_SECTIONS if name in nats_of]),
        probe=Probe(ids=tuple(ids), nats=_rounded(nats)),
        faults=tuple(
            FaultCosts(fault=signature.fault, nats=_rounded(signature.nats))
            for signature in (signatures(model, ids) if audit else ())
        ),
        tolerances=TOLERANCES,
    )


def _fingerprinted(model: TokenModel) -> FingerprintedModel:
    identity = model.identity
    return FingerprintedModel(
        name=identity.name,
        loader=identity.loader,
        revision=identity.revision,
        weights_sha256=identity.weights_sha256,
        tokenizer_sha256=identity.tokenizer_sha256,
        config_sha256=identity.config_sha256,
        numerics=identity.numerics,
        dtype=identity.dtype,
        prefix_ids=tuple(model.prefix),
        context_limit=model.context_limit,
        vocab_size=model.vocab_size,
    )


def _section_nats(model: TokenModel, documents: Sequence[Document]) -> dict[str, Nats]:
    """By name, the costs of those documents that the model can represent."""
    scores = score_documents(model, documents, DEFAULT_POLICY, spool=TokenSpool())
    return {
        score.document.id: score.load_tokens().bits.astype(np.float64) / BITS_PER_NAT
        for score in scores
        if score.load_tokens is not None
    }


def _probe(model: TokenModel) -> tuple[list[int], Nats]:
    try:
        ids = model.encode(sections()[0].text).ids[:NUM_PROBE_TOKENS].tolist()
    except LossyTextError as error:
        raise ScoringError(f"{model.identity.name} cannot represent the probe: {error}") from error
    if model.context_limit is not None:
        ids = ids[: model.context_limit - len(model.prefix) - 1]
    [nats] = model.nats([ids])
    return ids, np.asarray(nats, np.float64)


def _section_costs(model: TokenModel, document: Document, nats: Nats | None) -> SectionCosts | None:
    """None where the model cannot represent the section."""
    try:
        ids = np.asarray(model.encode(document.text).ids)
    except LossyTextError:
        return None
    costs = np.empty(0) if nats is None else nats
    units = np.minimum(np.rint(costs * UNITS_PER_NAT), _MOST_UNITS).astype("<u2")
    return SectionCosts(
        name=document.id,
        num_bytes=document.num_bytes,
        num_tokens=len(ids),
        ids_sha256=ids_sha256(ids),
        first_ids=tuple(ids[:8].tolist()),
        total_nats=None if nats is None else round(float(nats.sum()), 6),
        nats=base64.b64encode(units.tobytes()).decode(),
    )


def ids_sha256(ids: NDArray[np.int64]) -> str:
    """Digest of token ids as little-endian int32."""
    return hashlib.sha256(ids.astype("<i4").tobytes()).hexdigest()


def _curve(sections_nats: Sequence[Nats]) -> tuple[CurvePoint, ...]:
    points = []
    for first, end in zip(CURVE_EDGES, [*CURVE_EDGES[1:], None], strict=True):
        costs = np.concatenate([np.empty(0), *(nats[first:end] for nats in sections_nats)])
        if len(costs):
            points.append(
                CurvePoint(first=first, num_tokens=len(costs), mean_nats=round(float(costs.mean()), 6))
            )
    return tuple(points)


def _rounded(nats: Nats) -> tuple[float, ...]:
    return tuple(round(float(cost), 6) for cost in nats)


def write_fingerprint(fingerprint: Fingerprint, path: Path) -> None:
    """Write a fingerprint, whole or not at all; lists of numbers take a line each.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(to_json(fingerprint), indent=1, allow_nan=False, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]{}\"]*\]", lambda match: re.sub(r"\s+", "", match[0]), text)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_fingerprint(name: str) -> Fingerprint:
    """A fingerprint by its file, or one in the package by its name.

    Raises:
        UsageError: there is none, it cannot be read, or it is of other texts than this version's.
    """
    if name in shipped_names():
        text = shipped_file(name).read_text(encoding="utf-8")
    else:
        try:
            text = plain_file_text(Path(name).expanduser())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(
                f"--against {name}: it is no file that can be read ({reason}), and none of those in the "
                f"package: {', '.join(shipped_names())}"
            ) from error
    try:
        content = parse_json(text)
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise FieldError(f'it has no "kind": "{KIND}"')
        fingerprint = from_json(Fingerprint, content)
        _check(fingerprint)
    except ValueError as error:
        raise UsageError(f"--against {name} is no fingerprint: {error}") from error
    return fingerprint


def _check(fingerprint: Fingerprint) -> None:
    """Refuse what cannot be compared with.

    Raises:
        FieldError: it is of another schema or text, or its lists do not fit each other.
    """
    if fingerprint.schema_version != SCHEMA_VERSION:
        raise FieldError(f"its schema is {fingerprint.schema_version}, not {SCHEMA_VERSION}")
    if fingerprint.text_sha256 != text_sha256():
        raise FieldError("it is of other texts than those of this version of evalkit")
    if missing := TOLERANCES.keys() - fingerprint.tolerances.keys():
        raise FieldError(f"its tolerances lack {', '.join(sorted(missing))}")
    for dtype, nats in fingerprint.tolerances.items():
        if not 0 <= nats < np.inf:
            raise FieldError(f"its tolerance of {dtype} is {nats:g}, not 0 or more")
    if not fingerprint.sections:
        raise FieldError("it has the costs of no section")
    if unknown := {fault.fault for fault in fingerprint.faults} - FAULTS.keys():
        raise FieldError(
            f"it has faults that this version of evalkit does not know: {', '.join(sorted(unknown))}"
        )
    num_tokens = len(fingerprint.probe.ids)
    if not num_tokens:
        raise FieldError("its probe has no tokens")
    for costs in (fingerprint.probe.nats, *(fault.nats for fault in fingerprint.faults)):
        if len(costs) != num_tokens:
            raise FieldError(f"its probe has {num_tokens} ids and {len(costs)} costs")
    for section in fingerprint.sections:
        if len(section.costs()) != section.num_tokens:
            raise FieldError(f"section {section.name} has {section.num_tokens} tokens and other costs")
