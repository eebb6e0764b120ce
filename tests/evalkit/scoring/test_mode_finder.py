"""Under ``uncheatable-2025-12`` a model reads what Uncheatable Eval's own mode finder would choose."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from evalkit.cells.corpus_cell import CellSpec
from evalkit.errors import UsageError
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.mode_finder import TEXTS_VARIABLE, read_prefix_texts
from tests.support.rwkv7_files import save_official
from tests.support.tiny_models import (
    TEXTS,
    as_fast,
    byte_level_tokenizer,
    random_model,
    save_checkpoint,
    sentencepiece_tokenizer,
)
from tests.support.toys import TEXTS as CORPUS_TEXTS
from tests.support.toys import corpus_of

POLICY = "uncheatable-2025-12"
CORPUS = corpus_of(CORPUS_TEXTS)
CPU = LoadOptions("cpu", "float32")


def finder_of_uncheatable_eval(folder: Path, path: Path) -> tuple[str, dict[str, float], dict[str, int]]:
    """Its procedure once more, with plain transformers in float64.

    Returns:
        The mode that it chooses, and of every mode its bits per byte and its token.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    texts = [json.loads(line)["content"] for line in path.read_text(encoding="utf-8").splitlines()]
    firsts = {tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in texts}
    replaces = len(firsts) == 1
    modes = {}
    if tokenizer.bos_token_id is not None:
        modes["bos"] = tokenizer.bos_token_id
    if tokenizer.eos_token_id is not None:
        modes["eos"] = tokenizer.eos_token_id
    modes["newline"] = tokenizer.encode("\n")[0]
    bits_per_byte = {}
    for mode, token in modes.items():
        nats = 0.0
        for text in texts:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            for begin in range(0, len(ids), 4000):
                chunk = ids[begin : begin + 4000]
                chunk = [token, *(chunk[1:] if replaces else chunk)]
                with torch.inference_mode():
                    logits = model(input_ids=torch.tensor([chunk])).logits[0]
                nats += cross_entropy(logits[:-1], torch.tensor(chunk[1:]), reduction="sum").item()
        bits_per_byte[mode] = nats / math.log(2) / sum(len(text.encode()) for text in texts)
    return min(bits_per_byte, key=lambda mode: bits_per_byte[mode]), bits_per_byte, modes


@pytest.fixture
def texts_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "dev.jsonl"
    write_texts(path, TEXTS)
    monkeypatch.setenv(TEXTS_VARIABLE, str(path))
    return path


def write_texts(path: Path, texts: Sequence[str]) -> None:
    lines = [json.dumps({"content": text, "category": "any"}) for text in texts]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def tiny(folder: Path, fast: Any, **settings: Any) -> Path:
    model = random_model("llama", len(fast), max_position_embeddings=8192, **settings)
    return save_checkpoint(folder, model, fast)


@pytest.mark.parametrize(("seed", "winner"), [(2, "bos"), (4, "eos"), (6, "newline")])
def test_the_choice_and_the_costs_are_those_of_its_procedure(
    seed: int, winner: str, texts_file: Path, tmp_path: Path
) -> None:
    folder = tiny(tmp_path / "model", as_fast(byte_level_tokenizer()), seed=seed)
    if winner == "eos":  # also with a text of more than one chunk
        write_texts(texts_file, [*TEXTS, "".join(TEXTS) * 19])
    mode, bits_per_byte, tokens = finder_of_uncheatable_eval(folder, texts_file)
    assert mode == winner and len(set(tokens.values())) == 3
    options = RunOptions(output=tmp_path / "runs", device="cpu", dtype="float32")
    [cell] = run([f"hf:{folder}"], [CORPUS], policy=POLICY, options=options).cells
    said = cell.policy
    assert said.prefix_ids == (tokens[winner],)
    assert said.prefix.endswith(", the cheapest of 3")
    assert said.tried_prefixes is not None
    assert [tried.ids for tried in said.tried_prefixes] == [(token,) for token in tokens.values()]
    assert [tried.bits_per_byte for tried in said.tried_prefixes] == pytest.approx(
        list(bits_per_byte.values()), rel=1e-6
    )
    assert [tried.text for tried in said.tried_prefixes] == ["<|startoftext|>", "<|endoftext|>", "\\n"]
    # And that is what the corpus was read after.
    plain = dataclasses.replace(options, output=tmp_path / "plain", prefix=f"token:{tokens[winner]}")
    [again] = run([f"hf:{folder}"], [CORPUS], policy=POLICY, options=plain).cells
    assert again.bits_per_byte == cell.bits_per_byte
    assert (again.policy.prefix_ids, again.policy.tried_prefixes) == (said.prefix_ids, None)


def test_a_tokenizer_that_puts_a_bos_before_a_text_has_no_line_break_to_try(
    texts_file: Path, tmp_path: Path
) -> None:
    """``tokenizer.encode("\\n")[0]`` is the BOS there, in its code as well."""
    for name, tokenizer in (
        ("bytes", byte_level_tokenizer(adds_bos=True)),
        ("pieces", sentencepiece_tokenizer(adds_bos=True)),
    ):
        folder = tiny(tmp_path / name, as_fast(tokenizer), seed=1)
        _, _, tokens = finder_of_uncheatable_eval(folder, texts_file)
        assert tokens["newline"] == tokens["bos"]
        [located] = locate_models([f"hf:{folder}"], CPU)
        tried = located.identity.prefix_candidates[POLICY]
        assert [(prefix.rule, prefix.ids) for prefix in tried] == [
            ("bos", (tokens["bos"],)),
            ("eos", (tokens["eos"],)),
        ]


def test_what_is_tried_and_on_what_is_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny(tmp_path / "model", as_fast(byte_level_tokenizer()))
    options = RunOptions(output=tmp_path / "runs", device="cpu", dtype="float32", accept_versions=True)
    [cell] = run([f"hf:{folder}"], [CORPUS], policy=POLICY, options=options).cells
    assert cell.policy.planned_rule is not None
    assert cell.policy.planned_rule.endswith(read_prefix_texts().sha256)
    assert run([f"hf:{folder}"], [CORPUS], policy=POLICY, options=options).num_scored == 0
    # Of another generation of the library, too: the cell tells what its key was made of.
    model: Any = load_model(f"hf:{folder}", device="cpu", dtype="float32")
    model.identity = dataclasses.replace(model.identity, numerics="a later one")
    accepted = run([model], [CORPUS], policy=POLICY, options=options)
    assert (accepted.num_scored, accepted.cells[0].path) == (0, cell.path)
    [located] = locate_models([f"hf:{folder}"], CPU)
    later = dataclasses.replace(located.identity, numerics="a later one")
    keys = {CellSpec(identity, CORPUS, POLICY, None).key() for identity in (located.identity, later)}
    fewer = dataclasses.replace(
        located.identity, prefix_candidates={POLICY: located.identity.prefix_candidates[POLICY][:2]}
    )
    keys |= {CellSpec(fewer, CORPUS, POLICY, None).key()}
    path = tmp_path / "dev.jsonl"
    path.write_text('{"content": "Another text."}\n\n')
    monkeypatch.setenv(TEXTS_VARIABLE, str(path))
    assert [document.text for document in read_prefix_texts().documents] == ["Another text."]
    keys |= {CellSpec(located.identity, CORPUS, POLICY, None).key()}
    assert len(keys) == 4 and cell.path.stem in keys
    assert run([f"hf:{folder}"], [CORPUS], policy=POLICY, options=options).num_scored == 1


def test_nothing_is_tried_where_there_is_no_choice(tmp_path: Path) -> None:
    fast = as_fast(byte_level_tokenizer(), bos_token=None, eos_token="\n")
    folder = tiny(tmp_path / "single", fast)
    save_official(world := tmp_path / "world.pth", vocab_size=65536, num_channels=64)
    options = RunOptions(output=tmp_path / "runs", device="cpu", dtype="float32")
    cells = run([f"hf:{folder}", f"rwkv7:{world}"], [CORPUS], policy=POLICY, options=options).cells
    line_break = fast("\n", add_special_tokens=False)["input_ids"][0]
    assert [cell.policy.prefix_ids for cell in cells] == [(line_break,), (0,)]
    assert [cell.policy.tried_prefixes for cell in cells] == [None, None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*dev.jsonl: No such file"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"", "it holds no text"),
        (b'{"content": "a"}\nhello\n', "line 2: it is no JSON"),
        (b'{"content": "a"}\n{"text": "b"}\n', "line 2: it has no text under content"),
        (b'["content"]\n', "line 1: it has no text under content"),
        (b'{"content": ""}\n', "line 1: it has no text under content"),
        (b'{"content": "\\ud800"}\n', "a text is no Unicode"),
        (b"[" * 100_000, "line 1: it is no JSON: it is nested too deeply"),
    ],
)
def test_a_file_of_texts_that_is_none_is_refused_before_anything_is_loaded(
    content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dev.jsonl"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(TEXTS_VARIABLE, str(path))
    with pytest.raises(UsageError, match=f"{TEXTS_VARIABLE}: .*{message}"):
        run(["llama-nano"], [CORPUS], policy=POLICY, options=RunOptions(output=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
    # Other policies do not look at it.
    assert run(["xz"], [CORPUS], options=RunOptions(output=tmp_path / "other")).num_scored == 1
