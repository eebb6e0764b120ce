"""RWKV-7 files: official ``.pth``, and the safetensors layouts of Hugging Face and fla.

All come out as the official names and shapes, whatever was in the file (`evalkit.models.rwkv7.layouts`), with
what a ``config.json`` beside them says (`evalkit.models.rwkv7.settings`). Nothing in a file is executed:
``.pth`` is read with ``weights_only`` and mapped, not copied.
"""

import hashlib
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from evalkit.errors import ModelError, first_line, one_line
from evalkit.models.catalog import CatalogEntry
from evalkit.models.rwkv7.embedding_norm import without_embedding_norm
from evalkit.models.rwkv7.layouts import is_fla_layout, official_layout
from evalkit.models.rwkv7.network import REMOVAL_STRENGTHS, RWKV7, LayerShape, NetworkShape
from evalkit.models.rwkv7.settings import NormEpsilons, apply_epsilons, check_sizes, read_settings, tie_head
from evalkit.models.rwkv7.skeleton import network_skeleton
from evalkit.models.stored_tensors import problem_of_stored
from evalkit.models.weight_headers import note_tensors


def weight_files(path: Path) -> list[Path]:
    """The files that hold a model's weights: the file itself, or a folder's safetensors or ``.pth``.

    Raises:
        ModelError: there are none, several ``.pth`` to choose from, or a GGUF file.
    """
    if path.suffix == ".gguf":
        raise ModelError(f"{path} is a GGUF file; score it as gguf:{path}")
    if path.is_file():
        return [path]
    plain_files = [file for file in sorted(path.glob("*")) if file.is_file()]
    files = [file for file in plain_files if file.suffix == ".safetensors"]
    files = files or [file for file in plain_files if file.suffix == ".pth"]
    if not files:
        raise ModelError(f"{path} holds neither *.safetensors nor *.pth; give the weight file itself")
    if files[0].suffix == ".pth" and len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ModelError(f"{path} holds several models ({names}); give one of the files")
    return files


def repository_weights(entry: CatalogEntry, files: Mapping[str, str]) -> dict[str, str]:
    """The weight files of a repository that the entry means, with their digests.

    Raises:
        ModelError: the repository has no such file, none, or several models.
    """
    from evalkit.models import hub

    if entry.file:
        if entry.file not in files:
            raise ModelError(f"{entry.name}: {entry.target} has no file {entry.file!r}")
        return {entry.file: files[entry.file]}
    weights = hub.weight_files(files)
    checkpoints = [name for name in weights if name.endswith(".pth")]
    if len(checkpoints) > 1:
        raise ModelError(
            f"{entry.name}: {entry.target} holds {len(checkpoints)} checkpoints; name one: "
            f"rwkv7:{entry.target}/{checkpoints[0]}"
        )
    if not weights:
        raise ModelError(f"{entry.name}: {entry.target} has neither *.safetensors nor *.pth")
    return weights


def weights_digest(files: Mapping[str, str]) -> str:
    """The digest of the file, or of all files where a model is in several."""
    from evalkit.models import hub

    return next(iter(files.values())) if len(files) == 1 else hub.weights_sha256(files)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint under their official names, in the file's dtype.

    Args:
        path: a ``.pth`` or ``.safetensors`` file, or a folder that holds the model.

    Raises:
        ModelError: a file is missing, truncated, of another format, holds more than tensors, or is of another
            generation of RWKV, which the message names.
    """
    return official_layout(_read_files(path), path)


def _read_files(path: Path) -> dict[str, Tensor]:
    """All tensors under the names of the files."""
    tensors: dict[str, Tensor] = {}
    for file in weight_files(path):
        read = _read_safetensors if file.suffix == ".safetensors" else _read_pth
        tensors.update(read(file))
    for name, value in tensors.items():
        if not value.is_floating_point():
            dtype = str(value.dtype).removeprefix("torch.")
            raise ModelError(f"{path}: tensor {name!r} is {dtype}; evalkit reads no quantised weights")
    return tensors


def _read_pth(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        raise ModelError(f"{path} is empty; fetch the file again")
    is_zip_start = start == b"PK"
    try:
        is_whole = not is_zip_start or zipfile.is_zipfile(path)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path} is damaged: {first_line(error)}; fetch the file again") from error
    if not is_whole:
        raise ModelError(f"{path} is truncated: its table of contents is missing; fetch the file again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of other pickle protocols: refused anyway
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip_start)
    except pickle.UnpicklingError as error:
        refused = re.search(r"Unsupported (?:global|class)[^.\n]*|GLOBAL [\w.]+", str(error))
        why = refused.group() if refused else "it is no file of torch tensors"
        raise ModelError(f"{path} was refused and nothing in it was run: {why}") from error
    except Exception as error:  # torch's unpickler has no errors of its own for most of what can be wrong
        reason = first_line(error).split("  (")[0][:200]
        raise ModelError(f"{path} cannot be read as torch tensors ({reason}); fetch it again") from error
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(f"{path} holds a {type(loaded).__name__}, not named tensors; is it an RWKV-7 file?")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(f"{path}: entry {name!r} is a {type(value).__name__}, not a tensor")
    if problem := problem_of_stored(loaded, path.stat().st_size):
        raise ModelError(f"{path}: {problem}; fetch the file again")
    if is_zip_start:
        note_tensors(path, loaded)
    return dict(loaded)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a whole safetensors file ({one_line(str(error))}); fetch it again"
        ) from error


def recorded_eigenvalues(path: Path) -> str:
    """The ``negative_eigenvalues`` that a safetensors file's metadata names; ``off`` where nothing does.

    Raises:
        ModelError: it is none of `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
    """
    variants = set()
    for file in weight_files(path):
        if file.suffix == ".safetensors":
            try:
                with safe_open(file, framework="pt") as opened:
                    variants.add((opened.metadata() or {}).get("negative_eigenvalues", "off"))
            except (SafetensorError, OSError) as error:
                message = f"{file} is not a whole safetensors file ({one_line(str(error))}); fetch it again"
                raise ModelError(message) from error
    if len(variants) > 1 or not variants <= set(REMOVAL_STRENGTHS):
        raise ModelError(
            f"{path} says negative_eigenvalues {' and '.join(sorted(variants))}; "
            f"evalkit knows {', '.join(REMOVAL_STRENGTHS)}"
        )
    return variants.pop() if variants else "off"


def network_shape(tensors: Mapping[str, Tensor], path: Path) -> NetworkShape:
    """Sizes and ranks, read from the tensors.

    Raises:
        ModelError: the tensors are not RWKV-7's.
    """
    layers = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}
    if "emb.weight" not in tensors or not layers or "blocks.0.att.r_k" not in tensors:
        some = ", ".join(sorted(tensors)[:3])
        raise ModelError(
            f"{path} is no RWKV-7 file: emb.weight or blocks.0.att.r_k is missing (it has {some}, …)"
        )

    def size(name: str, axis: int) -> int:
        if name not in tensors or tensors[name].dim() <= axis:
            raise ModelError(
                f"{path} is no whole RWKV-7 file: tensor {name!r} is missing or has the wrong shape"
            )
        return tensors[name].shape[axis]

    return NetworkShape(
        vocab_size=size("emb.weight", 0),
        num_channels=size("emb.weight", 1),
        head_size=size("blocks.0.att.r_k", 1),
        layers=tuple(
            LayerShape(
                decay_rank=size(f"blocks.{layer}.att.w1", 1),
                gate_rank=size(f"blocks.{layer}.att.g1", 1),
                value_rank=size(f"blocks.{layer}.att.v1", 1) if layer else 0,
                learning_rate_rank=size(f"blocks.{layer}.att.a1", 1),
                ffn_width=size(f"blocks.{layer}.ffn.key.weight", 0),
            )
            for layer in range(max(layers) + 1)
        ),
    )


class _KnownTable(NamedTuple):
    """Of a ``.pth`` that was read, and of every other with the same table."""

    tensors: dict[str, Tensor]
    """Under the names of the file; the numbers are that file's."""
    shape: NetworkShape


_KNOWN_TABLES: dict[bytes, _KnownTable] = {}
"""Of the last file: torch takes milliseconds to read a table, and checkpoints of a training have the same."""


def checked_shape(path: Path) -> NetworkShape:
    """Sizes and ranks of a checkpoint, whose ``config.json`` was found to say nothing else.

    Raises:
        ModelError: see `read_tensors`, `network_shape` and `evalkit.models.rwkv7.settings`.
    """
    table = _table_sha256(path)
    if table is None:
        return _read_checked(path).shape
    if (of_table := _KNOWN_TABLES.get(table)) is not None:
        note_tensors(path, of_table.tensors)
        return of_table.shape
    from_file = _read_files(path)
    shape = network_shape(official_layout(from_file, path), path)
    _KNOWN_TABLES.clear()
    _KNOWN_TABLES[table] = _KnownTable(from_file, shape)
    return shape


def _table_sha256(path: Path) -> bytes | None:
    """A digest of what a ``.pth`` says of its tensors and of where their numbers lie, and not of the numbers.

    Returns:
        None for other files, and for one that is damaged or of the format of before 2020.
    """
    if path.suffix != ".pth" or not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            # In a folder called as the file; the id of the writing is another in each.
            records = {record.filename.partition("/")[2]: record for record in archive.infolist()}
            records.pop(".data/serialization_id", None)
            is_whole = sum(record.file_size for record in records.values()) <= path.stat().st_size
            sizes = [(name, record.file_size, record.compress_type) for name, record in records.items()]
            texts = [archive.read(record) for name, record in records.items() if not name.startswith("data/")]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return None
    return hashlib.sha256(repr((sizes, texts)).encode()).digest() if is_whole else None


class _Checked(NamedTuple):
    """Tensors by official names, and what else determines the network."""

    tensors: dict[str, Tensor]
    shape: NetworkShape
    epsilons: NormEpsilons
    norm_first: object


def _read_checked(path: Path) -> _Checked:
    from_file = _read_files(path)
    settings = read_settings(path)
    tensors = official_layout(from_file, path)
    if settings.is_tied:
        tie_head(tensors, path)
    shape = network_shape(tensors, path)
    check_sizes(settings, shape, path)
    epsilons = settings.epsilons(shape, is_fla=is_fla_layout(from_file))
    return _Checked(tensors, shape, epsilons, settings.stated.get("norm_first"))


def load_network(path: Path, *, dtype: torch.dtype, device: torch.device) -> RWKV7:
    """The network with a checkpoint's weights, for inference.

    Raises:
        ModelError: see `checked_shape`, `recorded_eigenvalues` and
            `evalkit.models.rwkv7.embedding_norm`; or tensors are missing, unknown or misshapen, each named.
    """
    tensors, shape, epsilons, norm_first = _read_checked(path)
    eigenvalues = recorded_eigenvalues(path)
    return build_network(
        tensors,
        shape,
        epsilons,
        path,
        norm_first=norm_first,
        eigenvalues=eigenvalues,
        dtype=dtype,
        device=device,
    )


def build_network(
    tensors: Mapping[str, Tensor],
    shape: NetworkShape,
    epsilons: NormEpsilons,
    path: Path,
    *,
    norm_first: object = None,
    eigenvalues: str = "off",
    dtype: torch.dtype,
    device: torch.device,
) -> RWKV7:
    """The network with tensors under their official names, for inference.

    Args:
        tensors: all of the network's.
        shape: see `network_shape`.
        epsilons: of the normalisations.
        path: what messages call the tensors.
        norm_first: see `evalkit.models.rwkv7.embedding_norm`.
        eigenvalues: a key of `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
        dtype: of the weights.
        device: where they go.

    Raises:
        ModelError: tensors are missing, unknown or misshapen, each named.
    """
    if shape.num_channels % shape.head_size:
        raise ModelError(
            f"{path}: {shape.num_channels} channels are not a multiple of head size {shape.head_size}"
        )
    network = network_skeleton(shape, REMOVAL_STRENGTHS[eigenvalues])
    apply_epsilons(network, epsilons)
    without_embedding_norm(network, tensors, path, norm_first=norm_first)
    expected = network.state_dict()
    unknown = sorted(set(tensors) - set(expected))
    missing = sorted(set(expected) - set(tensors))
    if unknown or missing:
        problem = f"unknown tensors {_some(unknown)}" if unknown else f"missing tensors {_some(missing)}"
        raise ModelError(f"{path} is not an RWKV-7 (x070) checkpoint that evalkit knows: {problem}")
    for name, value in tensors.items():
        if value.shape != expected[name].shape and value.squeeze().shape != expected[name].squeeze().shape:
            raise ModelError(
                f"{path}: {name} has shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
            )
    # Copied also where device and dtype are right: what is mapped changes when the file is written to.
    placed = {
        name: value.to(device=device, dtype=dtype, copy=True).reshape(expected[name].shape)
        for name, value in tensors.items()
    }
    network.load_state_dict(placed, assign=True)
    return network.eval().requires_grad_(False)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
