"""The readers of evalkit's that take files of others, each with good files and ways to damage them."""

import bz2
import csv
import functools
import gzip
import hashlib
import io
import json
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.coded_files import (
    compressed,
    damaged_compressed,
    fingerprint,
    read_compressed,
    read_fingerprint_of,
)
from tests.faults.damage import (
    Choices,
    Files,
    damaged_bytes,
    damaged_json,
    damaged_parquet,
    damaged_safetensors,
    damaged_zip,
)
from tests.faults.guard import Reader
from tests.support.leaderboard import CONFIG

Damage = Callable[[bytes, Choices], bytes]
_ROWS = [
    {
        "text": f"text {number}: Straße, 文字\n",
        "title": f"title {number}",
        "url": f"https://e.org/{number}",
        "published_at": "2026-10-03T12:00:00Z",
        "license": "CC-BY-4.0",
        "source": "toy",
        "language": "en",
        "cluster": f"site {number}",
    }
    for number in range(3)
]
_CATALOG = """
[models.mine]
loader = "hf"
target = "./folder"
context_limit = 512
released = 2026-01-02
knowledge_cutoff = "2025-12"
prefix = "token:3"
num_parameters = 1000

[models."a.b"]
loader = "rwkv7"
target = "owner/name/file.pth"
revision = "main"
license = "Apache-2.0"
"""
_FEEDS = """
[feeds.example]
url = "https://example.org/feed.xml"
site = "example.org"
language = "en"
license = "CC-BY-4.0"
"""


def _folder_of(write: Callable[[Path], None]) -> Files:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        return {
            path.relative_to(name).as_posix(): path.read_bytes()
            for path in sorted(Path(name).rglob("*"))
            if path.is_file()
        }


def _in_any(**damages: Damage) -> Callable[[dict[str, bytes], Choices], dict[str, bytes]]:
    """Damage one of the files, each in the way of its ending."""

    def damage(files: dict[str, bytes], choices: Choices) -> dict[str, bytes]:
        names = sorted(name for name in files if Path(name).suffix[1:] in damages)
        name = choices.of(names)
        return files | {name: damages[Path(name).suffix[1:]](files[name], choices)}

    return damage


def _load_corpus(folder: Path) -> None:
    from evalkit.corpora.store import load_corpus

    [path] = folder.iterdir()
    corpus = load_corpus(str(path))
    assert sum(document.num_bytes for document in corpus.documents) == corpus.num_bytes


@functools.cache
def _json_list() -> Files:
    return {"texts.json": json.dumps([*_ROWS, "bare"]).encode()}


@functools.cache
def _json_lines() -> Files:
    return {"texts.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in _ROWS)}


def _damaged_lines(data: bytes, choices: Choices) -> bytes:
    lines = data.split(b"\n")
    index = choices.number(0, len(lines) - 1)
    if not lines[index]:
        return damaged_bytes(data, choices)
    return b"\n".join([*lines[:index], damaged_json(lines[index], choices), *lines[index + 1 :]])


@functools.cache
def _csv() -> Files:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(_ROWS[0]))
    writer.writeheader()
    writer.writerows(_ROWS)
    return {"texts.csv": sink.getvalue().encode()}


@functools.cache
def _parquet() -> Files:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_ROWS), sink)
    return {"texts.parquet": sink.getvalue()}


def _damaged_archive(files: dict[str, bytes], choices: Choices) -> dict[str, bytes]:
    """A compressed file that is cut, that holds something odd, or that becomes very large."""
    import zstandard

    [content] = files.values()
    content = choices.of([content, bytes(10_000_000), damaged_bytes(content, choices), b""])
    name, compress = choices.of(
        [
            ("texts.jsonl.gz", gzip.compress),
            ("texts.jsonl.bz2", bz2.compress),
            ("texts.jsonl.xz", lzma.compress),
            ("texts.jsonl.zst", zstandard.compress),
        ]
    )
    data = compress(content)
    return {name: damaged_bytes(data, choices) if choices.number(0, 1) else data}


@functools.cache
def _stored_corpus() -> Files:
    from evalkit.corpora.store import save_corpus

    return _folder_of(lambda folder: (save_corpus(_toy_corpus(), folder), None)[1])


def _toy_corpus() -> Any:
    from evalkit.corpora.store import make_corpus, make_document

    return make_corpus("toy", [make_document(**row) for row in _ROWS])


def _damaged_stored_corpus(files: dict[str, bytes], choices: Choices) -> dict[str, bytes]:
    """The digests right again, so that what lies behind them is seen: somebody may have written it so."""
    damaged = _in_any(json=damaged_json, parquet=damaged_parquet)(files, choices)
    [manifest_name] = (name for name in files if name.endswith(".json"))
    [parquet_name] = (name for name in files if name.endswith(".parquet"))
    fields = _object(damaged[manifest_name])
    if fields is None or choices.number(0, 4) == 4:
        return damaged
    fields.pop("manifest_sha256", None)
    if damaged[parquet_name] != files[parquet_name]:
        fields["parquet_sha256"] = hashlib.sha256(damaged[parquet_name]).hexdigest()
    text = _strict(fields)
    if text is not None:
        fields["manifest_sha256"] = hashlib.sha256(text).hexdigest()
    return damaged | {manifest_name: json.dumps(fields).encode()}


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _strict(value: object) -> bytes | None:
    from evalkit.files import strict_json

    try:
        return strict_json(value).encode()
    except (ValueError, RecursionError):
        return None


def _read_stored_corpus(folder: Path) -> None:
    from evalkit.corpora.store import list_corpora, load_corpus, read_manifest, verify_corpus

    list_corpora(folder)
    verify_corpus("toy", folder)
    read_manifest("toy", folder)
    load_corpus("toy", store=folder)


@functools.cache
def _dataset() -> Files:
    from evalkit.corpora.publish import prepare_dataset

    return _folder_of(
        lambda folder: (prepare_dataset(_toy_corpus(), "owner/toy", folder / "published"), None)[1]
    )


def _read_dataset(folder: Path) -> None:
    from evalkit.corpora.published import read_dataset

    read_dataset(folder / "published")


@functools.cache
def _cells() -> Files:
    import evalkit
    from tests.support.cells import probe_content, write_cell_files

    def write(folder: Path) -> None:
        evalkit.run(["zstd"], [_toy_corpus()], options=evalkit.RunOptions(output=folder / "cells"))
        write_cell_files(folder / "cells/probes/parity/rwkv7/0123.json", probe_content())

    return _folder_of(write)


def _damaged_cells(files: dict[str, bytes], choices: Choices) -> dict[str, bytes]:
    """The digests right again: cells of other programs, whole and of another shape."""
    from evalkit.cells.files import content_sha256

    damaged = _in_any(json=damaged_json, parquet=damaged_parquet)(files, choices)
    for name in (name for name in files if name.endswith(".json")):
        content = _object(damaged[name])
        rows_name = name.removesuffix(".json") + ".parquet"
        is_same = damaged[name] == files[name] and damaged[rows_name] == files[rows_name]
        if content is None or is_same or choices.number(0, 7) == 7:
            continue
        digest = hashlib.sha256(damaged[rows_name]).hexdigest()
        for part in ("documents", "items"):
            if isinstance(content.get(part), dict) and damaged[rows_name] != files[rows_name]:
                content[part]["parquet_sha256"] = digest
        if _strict(content) is not None:
            content["sha256"] = content_sha256(content)
        damaged[name] = json.dumps(content).encode()
    return damaged


def _read_cells(folder: Path) -> None:
    """All that is made of a folder of cells but the pages themselves."""
    from evalkit.analysis.rankings import compute
    from evalkit.analysis.results import read_results
    from evalkit.analysis.sources import sources_of
    from evalkit.errors import EvalkitError
    from evalkit.report.sources import find_backgrounds

    results = read_results(folder / "cells", warn=lambda text: None)
    backgrounds = find_backgrounds(results, (), warn=lambda text: None)
    compute(results, sources_of(results, [background.manifest for background in backgrounds]))
    for cell in results.cells:
        try:
            cell.rows()
        except EvalkitError as error:
            assert cell.path.name in str(error)


def _read_catalog(folder: Path) -> None:
    from evalkit.models.catalog import load_catalog

    load_catalog(folder / "evalkit.toml")


def _read_leaderboard(folder: Path) -> None:
    import datetime as dt

    from evalkit.refresh.config import last_window, read_config

    last_window(read_config(folder / "leaderboard.toml"), dt.date(2026, 11, 20))


def _read_feeds(folder: Path) -> None:
    from evalkit_crawlers.sources.feeds import load_feeds

    load_feeds(folder / "feeds.toml")


@functools.cache
def _profile() -> Files:
    from evalkit.corpora.gates import profile, write_profile

    return _folder_of(lambda folder: write_profile(profile(_toy_corpus()), folder / "profile.json"))


def _read_profile(folder: Path) -> None:
    from evalkit.corpora.gates import check, profile, read_profile

    check(profile(_toy_corpus()), read_profile(folder / "profile.json"))


@functools.cache
def _audit() -> Files:
    from evalkit.corpora.audit import write_audit
    from evalkit.corpora.auditing import audit

    return _folder_of(
        lambda folder: write_audit(audit(_toy_corpus(), [_toy_corpus()]), folder / "audit.json")
    )


def _read_audit(folder: Path) -> None:
    from evalkit.corpora.audit import read_audit
    from evalkit.report.writer import standalone_page

    standalone_page("audit.html", audit=read_audit(folder / "audit.json"))


@functools.cache
def _tensors() -> dict[str, Any]:
    from tests.support.rwkv7_files import random_tensors

    return random_tensors(vocab_size=16, num_channels=8, num_layers=1, head_size=8)


@functools.cache
def _pth() -> Files:
    import torch

    sink = io.BytesIO()
    torch.save(_tensors(), sink)
    return {"model.pth": sink.getvalue()}


@functools.cache
def _safetensors() -> Files:
    from safetensors.torch import save

    return {"model.safetensors": save(_tensors())}


def _read_rwkv7(folder: Path) -> None:
    import torch

    from evalkit.models.rwkv7.checkpoint import load_network
    from evalkit.models.weight_headers import summarise_weights

    [path] = folder.iterdir()
    summarise_weights([path])
    load_network(path, dtype=torch.float32, device=torch.device("cpu"))


@functools.cache
def _checkpoint() -> Files:
    from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint

    tokenizer = byte_level_tokenizer(num_merged_tokens=10)
    model = random_model(
        "llama", tokenizer.get_vocab_size(), num_hidden_layers=1, hidden_size=16, intermediate_size=16
    )
    return _folder_of(lambda folder: (save_checkpoint(folder / "tiny", model, as_fast(tokenizer)), None)[1])


def _read_checkpoint(folder: Path) -> None:
    _score_words(f"hf:{folder / 'tiny'}")


@functools.cache
def _gguf() -> Files:
    from tests.support.gguf_files import random_model

    return _folder_of(lambda folder: (random_model(folder / "model.gguf", "llama"), None)[1])


def _damaged_gguf(data: bytes, choices: Choices) -> bytes:
    """Mostly what stands before the tokens: sizes, names and types."""
    start = choices.of([256, 1024, 4096, len(data)])
    return damaged_bytes(data[:start], choices) + data[start:]


def _read_gguf(folder: Path) -> None:
    _score_words(f"gguf:{folder / 'model.gguf'}")


def _score_words(spec: str) -> None:
    """What a run makes of a model beside another one: a number, or a failure that names it."""
    import evalkit
    from evalkit.errors import ModelError

    with tempfile.TemporaryDirectory() as output:
        result = evalkit.run([spec, "zstd"], [_toy_corpus()], options=evalkit.RunOptions(output=Path(output)))
    assert any(cell.model.name == "zstd" for cell in result.cells)
    for failure in result.failures:
        raise ModelError(f"{failure.model}: {failure.reason}")


@functools.cache
def _checkpoint_of_probe() -> Files:
    from evalkit_tasks.training.training import run_spec

    def write(folder: Path) -> None:
        run_spec(_spec(), folder / "checkpoint.pt", checkpoint_every_s=0.0)

    return _folder_of(write)


def _spec() -> Any:
    from evalkit_tasks.training.spec import TrainSpec

    sizes = {"num_steps": 2, "train_length": 8, "batch_size": 2, "width": 16, "num_items": 4}
    return TrainSpec("parity", "gru", test_multiples=(1,), **sizes)


def _damaged_checkpoint(data: bytes, choices: Choices) -> bytes:
    """With its digest right again, or not."""
    _, _, content = data.partition(b"\n")
    damaged = damaged_zip(content, choices)
    digest = hashlib.sha256(damaged if choices.number(0, 3) else content).hexdigest()
    return f"{digest}\n".encode() + damaged


def _read_checkpoint_of_probe(folder: Path) -> None:
    from evalkit_tasks.training.training import run_spec

    run_spec(_spec(), folder / "checkpoint.pt")


@functools.cache
def _benchmark() -> Files:
    row = {
        "operator": "wkv7",
        "shape": "1x1",
        "ours_s": 0.5,
        "floor_s": 0.1,
        "peers": {"fla": {"ratio": 2.0}},
    }
    return {"benchmarks.json": json.dumps({"environment": {"cpu": "x"}, "rows": [row]}).encode()}


def _read_benchmark(folder: Path) -> None:
    from evalkit.analysis.speeds import read_benchmarks

    read_benchmarks(folder, warn=lambda text: None)


READERS = (
    Reader("JSON", _json_list, _in_any(json=damaged_json), _load_corpus),
    Reader("JSONL", _json_lines, _in_any(jsonl=_damaged_lines), _load_corpus),
    Reader("CSV", _csv, _in_any(csv=damaged_bytes), _load_corpus),
    Reader("Parquet", _parquet, _in_any(parquet=damaged_parquet), _load_corpus),
    Reader("compressed", _json_lines, _damaged_archive, _load_corpus),
    Reader("stored corpus", _stored_corpus, _damaged_stored_corpus, _read_stored_corpus),
    Reader(
        "published data set", _dataset, _in_any(json=damaged_json, parquet=damaged_parquet), _read_dataset
    ),
    Reader("cells", _cells, _damaged_cells, _read_cells),
    Reader("profile", _profile, _in_any(json=damaged_json), _read_profile),
    Reader("audit", _audit, _in_any(json=damaged_json), _read_audit),
    Reader(
        "evalkit.toml",
        lambda: {"evalkit.toml": _CATALOG.encode()},
        _in_any(toml=damaged_bytes),
        _read_catalog,
    ),
    Reader(
        "leaderboard.toml",
        lambda: {"leaderboard.toml": CONFIG.encode()},
        _in_any(toml=damaged_bytes),
        _read_leaderboard,
    ),
    Reader("feeds.toml", lambda: {"feeds.toml": _FEEDS.encode()}, _in_any(toml=damaged_bytes), _read_feeds),
    Reader(".pth", _pth, _in_any(pth=damaged_zip), _read_rwkv7),
    Reader("safetensors", _safetensors, _in_any(safetensors=damaged_safetensors), _read_rwkv7),
    Reader("tokenizer and config", _checkpoint, _in_any(json=damaged_json), _read_checkpoint),
    Reader("Hugging Face weights", _checkpoint, _in_any(safetensors=damaged_safetensors), _read_checkpoint),
    Reader("GGUF", _gguf, _in_any(gguf=_damaged_gguf), _read_gguf),
    Reader(
        "probe checkpoint", _checkpoint_of_probe, _in_any(pt=_damaged_checkpoint), _read_checkpoint_of_probe
    ),
    Reader("benchmarks", _benchmark, _in_any(json=damaged_json), _read_benchmark),
    Reader(".ek", compressed, damaged_compressed, read_compressed),
    Reader("fingerprint", fingerprint, _in_any(json=damaged_json), read_fingerprint_of),
)
"""All of them; a row each in the table."""
READER = {reader.name: reader for reader in READERS}
