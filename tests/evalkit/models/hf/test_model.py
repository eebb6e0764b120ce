import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from evalkit.errors import ModelError
from evalkit.models.hf import checkpoint as hf_checkpoint
from evalkit.models.hf import files as hf_files
from evalkit.models.hf import long_texts
from evalkit.models.hf import model as hf
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.hub import HubSnapshot
from evalkit.models.prefixes import WITH_CONTEXT
from evalkit.models.protocol import LoadOptions, TokenModel
from tests.support.architectures import REPRESENTATIVE
from tests.support.tiny_models import (
    TEXTS,
    as_fast,
    byte_level_tokenizer,
    entry,
    random_model,
    save_checkpoint,
    sentencepiece_tokenizer,
)

TEXT = "".join(TEXTS)
RECURRENT = ("mamba", "mamba2", "falcon_mamba", "recurrent_gemma", "xlstm")


@functools.cache
def tokenizer() -> Any:
    return as_fast(byte_level_tokenizer())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny checkpoint of an architecture; not to be changed."""

    @functools.cache
    def make(architecture: str) -> Path:
        folder = tmp_path_factory.mktemp("checkpoints") / architecture
        return save_checkpoint(folder, random_model(architecture, len(tokenizer())), tokenizer())

    return make


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A checkpoint of one's own, to be changed."""
    return save_checkpoint(tmp_path / "llama", random_model("llama", len(tokenizer())), tokenizer())


def load(folder: Path, options: LoadOptions | None = None, **fields: Any) -> hf.HfModel:
    return hf.load(entry(folder, **fields), options or LoadOptions())


def reference_nats(folder: Path, context: list[int], targets: list[int]) -> np.ndarray:
    """Full logits of the same weights, all in float64."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).double().eval()
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([[*context, *targets]]), use_cache=False)
    logits = output.logits[0, len(context) - 1 : -1].double()  # Mamba and xLSTM round theirs to float32
    return -logits.log_softmax(-1).gather(-1, torch.tensor(targets)[:, None])[:, 0].numpy()


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_nats_are_those_of_the_full_logits_in_float64(
    architecture: str, checkpoint: Callable[[str], Path]
) -> None:
    model = load(checkpoint(architecture))
    ids = model.encode(TEXT).ids.tolist()
    nats = model.nats([ids])[0]
    reference = reference_nats(checkpoint(architecture), list(model.prefix), ids)
    assert nats.dtype == np.float32
    assert nats.astype(float).sum() == pytest.approx(reference.sum(), rel=1e-6)
    np.testing.assert_allclose(nats, reference, rtol=1e-4)  # single tokens: float32 all the way through
    assert reference.std() > 0.5  # far from uniform, so that errors would show


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_a_batch_gives_what_its_sequences_give_alone(
    architecture: str, checkpoint: Callable[[str], Path]
) -> None:
    model = load(checkpoint(architecture))
    ids = model.encode(TEXT).ids.tolist()
    sequences = [ids[:3], [], ids, ids[50:51], ids[40:120], ids[7:90]]
    contexts = [[0], [0], [0], [], [], ids[:40]]
    together = model.nats(sequences, contexts=contexts)
    assert [len(nats) for nats in together] == [len(sequence) for sequence in sequences]
    for nats, sequence, context in zip(together, sequences, contexts, strict=True):
        np.testing.assert_allclose(nats, model.nats([sequence], contexts=[context])[0], rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mamba2"])
def test_what_is_read_before_does_not_depend_on_who_pays_for_it(
    architecture: str, checkpoint: Callable[[str], Path]
) -> None:
    model = load(checkpoint(architecture))
    ids = model.encode(TEXT).ids.tolist()
    whole = model.nats([ids], contexts=[[0]])[0]
    for split in (1, 17, 100, len(ids) - 1):
        nats = model.nats([ids[split:]], contexts=[[0, *ids[:split]]])[0]
        np.testing.assert_allclose(nats, whole[split:], rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "mamba2"])
def test_a_long_text_is_read_in_pieces(
    architecture: str, checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is that of a piece, and the costs those of the text in one, of each row beside another."""
    model = load(checkpoint(architecture))
    ids = model.encode(TEXT).ids.tolist()
    sequences, contexts = [ids, ids[40:]], [[0], ids[:40]]
    whole = model.nats(sequences, contexts=contexts)
    monkeypatch.setattr(long_texts, "ATTENTION_TOKENS", 64)
    model.tokens_per_batch = 64 if architecture == "llama" else 16
    lengths = []
    hook = model._model.get_input_embeddings().register_forward_pre_hook(
        lambda _module, inputs: lengths.append(inputs[0].shape)
    )
    pieces = model.nats(sequences, contexts=contexts)
    hook.remove()
    for nats, expected in zip(pieces, whole, strict=True):
        np.testing.assert_allclose(nats, expected, rtol=1e-5)
    assert lengths[-len(ids) // 8 + 1 :] == [torch.Size((2, 8))] * (len(ids) // 8 - 1) + [lengths[-1]]


def test_a_window_is_not_read_in_pieces(checkpoint: Callable[[str], Path]) -> None:
    """A trial of eighty tokens does not show what a cache forgets beyond its window."""
    assert not load(checkpoint("gemma2"))._continues


def test_without_context_the_first_token_costs_the_vocabulary(checkpoint: Callable[[str], Path]) -> None:
    model = load(checkpoint("llama"), prefix="none")
    ids = model.encode(TEXT).ids.tolist()
    assert model.prefix == ()
    nats = model.nats([ids, ids[:1]])
    assert nats[0][0] == nats[1][0] == np.float32(math.log(len(tokenizer())))
    np.testing.assert_allclose(nats[0][1:], model.nats([ids[1:]], contexts=[ids[:1]])[0], rtol=1e-5)
    assert model.nats([]) == []


def test_the_prefix_is_the_default_context_and_is_not_paid_for(checkpoint: Callable[[str], Path]) -> None:
    model = load(checkpoint("llama"), prefix="token:7")
    ids = model.encode(TEXT).ids.tolist()
    assert model.prefix == (7,)
    np.testing.assert_array_equal(model.nats([ids])[0], model.nats([ids], contexts=[[7]])[0])


@pytest.mark.parametrize("make", [byte_level_tokenizer, sentencepiece_tokenizer])
def test_a_tokenizer_that_adds_bos_costs_what_one_without_it_does_after_a_bos(
    make: Any, tmp_path: Path
) -> None:
    plain, adding = as_fast(make()), as_fast(make(adds_bos=True))
    model = random_model("llama", len(plain))
    plain_folder = save_checkpoint(tmp_path / "plain", model, plain)
    adding_folder = save_checkpoint(tmp_path / "adding", model, adding)
    assert adding("x")["input_ids"][0] == adding.bos_token_id
    without = load(plain_folder, prefix="bos")
    with_bos = load(adding_folder)
    assert with_bos.identity.prefix == "bos"
    assert with_bos.prefix == without.prefix == (plain.bos_token_id,)
    ids = with_bos.encode(TEXT).ids
    assert plain.bos_token_id not in ids
    np.testing.assert_array_equal(ids, without.encode(TEXT).ids)
    np.testing.assert_array_equal(with_bos.nats([ids.tolist()])[0], without.nats([ids.tolist()])[0])


@pytest.mark.parametrize("make", [byte_level_tokenizer, sentencepiece_tokenizer])
def test_special_strings_in_a_document_are_scored_as_text(make: Any, tmp_path: Path) -> None:
    fast = as_fast(make())
    model = load(save_checkpoint(tmp_path / "model", random_model("llama", len(fast)), fast))
    text = "one <|endoftext|> two <s> three </s>\n"
    encoding = model.encode(text)
    assert set(encoding.ids.tolist()).isdisjoint(fast.all_special_ids)
    assert encoding.ends[-1] == len(text.encode())
    reference = reference_nats(tmp_path / "model", list(model.prefix), encoding.ids.tolist())
    np.testing.assert_allclose(model.nats([encoding.ids.tolist()])[0], reference, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "rule", "policies"),
    [
        ({"adds_bos": True}, "bos", {"lm-eval": (1,), WITH_CONTEXT: (1,), "uncheatable": (1,)}),
        ({}, "eos", {"lm-eval": (1,), WITH_CONTEXT: (), "uncheatable": ()}),
    ],
)
def test_default_prefixes(
    settings: dict[str, bool], rule: str, policies: dict[str, Any], tmp_path: Path
) -> None:
    fast = as_fast(byte_level_tokenizer(**settings))
    model = load(save_checkpoint(tmp_path / "model", random_model("llama", len(fast)), fast))
    assert (model.identity.prefix, model.policy_prefixes) == (rule, policies)


@pytest.mark.parametrize(
    ("names", "rule", "prefix"),
    [
        ({"bos_token": None, "eos_token": "<|endoftext|>"}, "eos", (0,)),
        ({"bos_token": "<|startoftext|>", "eos_token": None}, "bos", (1,)),
    ],
)
def test_default_prefix_with_one_special_token(
    names: dict[str, Any], rule: str, prefix: tuple[int, ...], tmp_path: Path
) -> None:
    fast = as_fast(byte_level_tokenizer(), **names)
    model = load(save_checkpoint(tmp_path / "model", random_model("llama", len(fast)), fast))
    assert (model.identity.prefix, model.prefix) == (rule, prefix)
    assert model.policy_prefixes["lm-eval"] == prefix


def test_a_tokenizer_without_settings_gets_the_special_tokens_of_its_class(tmp_path: Path) -> None:
    backend = byte_level_tokenizer()
    config = transformers.GPT2Config(
        vocab_size=backend.get_vocab_size(), n_embd=32, n_layer=1, n_head=2, n_positions=64
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    backend.save(str(tmp_path / "gpt2" / "tokenizer.json"))  # the files that openai-community/gpt2 has
    model = load(tmp_path / "gpt2")
    assert (model.prefix, model.context_limit) == ((0,), 64)


def test_the_tokenizer_file_counts_and_not_what_its_model_type_usually_does(tmp_path: Path) -> None:
    # AutoTokenizer gives every Qwen2 the pre-tokenizer of the original; ours joins digits, that one does not.
    fast = as_fast(byte_level_tokenizer(texts=["1234 1234 1234"], num_merged_tokens=3))
    model = load(save_checkpoint(tmp_path / "qwen2", random_model("qwen2", len(fast)), fast))
    assert model.encode("1234").ids.tolist() == fast.encode("1234")
    assert len(fast.encode("1234")) == 1


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_context_limits(architecture: str, checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint(architecture)

    def limit(options: LoadOptions | None = None, **fields: Any) -> int | None:
        return hf.identify(entry(folder, **fields), options or LoadOptions()).context_limit

    stated = None if architecture in RECURRENT else 512
    assert limit() == stated
    assert limit(LoadOptions(max_context=100)) == 100
    assert limit(LoadOptions(max_context=1000)) == (stated or 1000)
    assert limit(context_limit=300) == 300
    assert limit(LoadOptions(max_context=100), context_limit=300) == 100


def test_attention_without_a_stated_length_needs_one(tmp_path: Path) -> None:
    config = transformers.BloomConfig(vocab_size=len(tokenizer()), hidden_size=32, n_layer=1, n_head=2)
    model = transformers.BloomForCausalLM(config)
    folder = save_checkpoint(tmp_path / "bloom", model, tokenizer())
    with pytest.raises(ModelError, match=r"states no context length; pass --max-context"):
        load(folder)
    assert load(folder, LoadOptions(max_context=64)).context_limit == 64


def test_what_follows_the_head(checkpoint: Callable[[str], Path]) -> None:
    heads = {}
    for architecture in REPRESENTATIVE:
        head = load(checkpoint(architecture))._head
        heads[architecture] = (head.scale, head.softcap)
    assert {name: head for name, head in heads.items() if head != (1.0, None)} == {
        "gemma2": (1.0, 1.5),
        "cohere": (0.5, None),
        "granite": (0.5, None),
        "recurrent_gemma": (1.0, 1.5),
        "xlstm": (1.0, 1.5),
    }


def _wrap(model: Any) -> hf.HfModel:
    identity = hf.ModelIdentity("m", "hf", None, "", "", "eos", "float32", None)
    return hf.HfModel(model, TokenBytes(tokenizer()), identity=identity, prefix=(0,), policy_prefixes={})


def test_a_scale_that_the_config_does_not_state_is_refused() -> None:
    model = random_model("cohere", len(tokenizer()))
    model.logit_scale = 0.6
    with pytest.raises(ModelError, match=r"m: what cohere does to its logits is not understood.* 0\.2 rel"):
        _wrap(model)


def test_a_softcap_is_seen_even_where_logits_are_small() -> None:
    model = random_model("gemma2", len(tokenizer()), final_logit_softcapping=30.0)
    with torch.no_grad():
        model.lm_head.weight.mul_(1e-4)
    assert _wrap(model)._head.softcap == 30.0


def test_a_head_that_is_more_than_its_matrix_is_refused() -> None:
    class Doubled(torch.nn.Linear):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden) * 1.001

    model = random_model("llama", len(tokenizer()))
    head = Doubled(32, len(tokenizer()), bias=False)
    head.weight = model.lm_head.weight
    model.lm_head = head
    with pytest.raises(ModelError, match="more than its weight matrix"):
        _wrap(model)


def test_a_head_with_a_bias() -> None:
    model = random_model("llama", len(tokenizer()))
    model.lm_head = torch.nn.Linear(32, len(tokenizer()))
    torch.nn.init.normal_(model.lm_head.bias)
    wrapped = _wrap(model)
    ids = wrapped.encode(TEXT).ids.tolist()
    with torch.inference_mode():
        logits = model.double()(input_ids=torch.tensor([[0, *ids]])).logits[0, :-1]
    reference = -logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None]).sum().item()
    model.float()
    assert wrapped.nats([ids])[0].astype(float).sum() == pytest.approx(reference, rel=1e-6)


def test_a_model_that_sees_later_tokens_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    model = transformers.BertLMHeadModel(config)  # a causal class whose config leaves it an encoder
    folder = save_checkpoint(tmp_path / "bert", model, tokenizer())
    with pytest.raises(ModelError, match=r"BertLMHeadModel lets tokens see later ones"):
        load(folder)


def test_the_head_is_not_computed_while_scoring(checkpoint: Callable[[str], Path]) -> None:
    model = load(checkpoint("llama"))

    def fail(*_: Any) -> None:
        raise AssertionError("the head was computed")

    hook = model._model.get_output_embeddings().register_forward_hook(fail)
    assert len(model.nats([[1, 2, 3]])[0]) == 3
    hook.remove()
    assert not model._model.get_output_embeddings()._forward_pre_hooks


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "granite", "mamba2"])
def test_bfloat16(architecture: str, checkpoint: Callable[[str], Path]) -> None:
    model = load(checkpoint(architecture), LoadOptions(dtype="bfloat16"))
    exact = load(checkpoint(architecture))
    ids = exact.encode(TEXT).ids.tolist()
    nats = model.nats([ids])[0]
    assert nats.dtype == np.float32
    assert model.identity.dtype == "bfloat16"
    assert model._head == dataclasses.replace(exact._head, weight=model._head.weight)
    assert nats.astype(float).mean() == pytest.approx(exact.nats([ids])[0].astype(float).mean(), rel=1e-2)


def test_it_is_a_token_model(checkpoint: Callable[[str], Path]) -> None:
    model = load(checkpoint("llama"))
    assert isinstance(model, TokenModel)
    assert model.vocab_size == len(tokenizer())
    assert model.tokens_per_batch == 1024
    assert not model._model.training


def test_identity_is_known_before_loading_and_follows_the_files(llama: Path) -> None:
    before = hf.identify(entry(llama), LoadOptions())
    assert before == load(llama).identity
    assert (before.loader, before.revision, before.dtype, before.context_limit) == (
        "hf",
        None,
        "float32",
        512,
    )
    random_model("llama", len(tokenizer()), seed=1).save_pretrained(llama)
    other_weights = hf.identify(entry(llama), LoadOptions())
    assert other_weights.weights_sha256 != before.weights_sha256
    assert other_weights.tokenizer_sha256 == before.tokenizer_sha256
    as_fast(byte_level_tokenizer(adds_bos=True)).save_pretrained(llama)
    assert hf.identify(entry(llama), LoadOptions()).tokenizer_sha256 != before.tokenizer_sha256


def test_loading_prints_nothing(llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    model = load(llama)
    model.nats([[1, 2, 0], [0]])
    assert capfd.readouterr() == ("", "")
    assert transformers.logging.is_progress_bar_enabled()  # as it was


def test_another_tokenizer(llama: Path, tmp_path: Path) -> None:
    as_fast(byte_level_tokenizer(num_merged_tokens=10)).save_pretrained(tmp_path / "other")
    model = load(llama, tokenizer=str(tmp_path / "other"))
    assert len(model.encode(TEXT).ids) > len(load(llama).encode(TEXT).ids)
    assert model.identity.tokenizer_sha256 != load(llama).identity.tokenizer_sha256


def test_shards_and_pickled_tensors_load_as_one_safetensors_file_does(llama: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(llama)
    expected = load(llama).nats([[5, 6, 7]])[0]
    shards = save_checkpoint(tmp_path / "shards", model, tokenizer())
    (shards / "model.safetensors").unlink()
    model.save_pretrained(shards, max_shard_size="40KB")
    assert len(list(shards.glob("model-*-of-*.safetensors"))) > 1
    np.testing.assert_array_equal(load(shards).nats([[5, 6, 7]])[0], expected)
    torch.save(model.state_dict(), llama / "pytorch_model.bin")
    (llama / "model.safetensors").unlink()
    np.testing.assert_array_equal(load(llama).nats([[5, 6, 7]])[0], expected)


def test_other_copies_of_the_weights_are_not_counted() -> None:
    files = [
        "consolidated.safetensors",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert hf_checkpoint.weight_names([*files, "pytorch_model.bin"]) == files[1:]
    assert hf_checkpoint.weight_names(["config.json", "pytorch_model.bin"]) == ["pytorch_model.bin"]


def test_a_hub_repository_is_identified_without_its_weights(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: f"digest of {path.name}" for path in llama.iterdir()}
    downloads = []

    def download(repo: str, commit: str, patterns: list[str]) -> Path:
        downloads.append((repo, commit, patterns))
        return llama

    monkeypatch.setattr(
        hf_files, "hub_files", lambda repo, _revision: HubSnapshot(repo, "c" * 40, files, None)
    )
    monkeypatch.setattr(hf_files, "download", download)
    monkeypatch.setattr(hf_checkpoint, "download", download)
    repository = dataclasses.replace(entry(llama), target="owner/name")
    identity = hf.identify(repository, LoadOptions())
    assert identity.revision == "c" * 40
    assert not any("safetensors" in pattern for _, _, patterns in downloads for pattern in patterns)
    assert hf.load(repository, LoadOptions()).identity == identity
    assert downloads[-1] == ("owner/name", "c" * 40, ["model.safetensors"])


def _edit_config(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def _edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _cut(path: Path, num_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:num_bytes])


class _Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("owned",)


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": _Attack()}, folder / "pytorch_model.bin")


def _unlink(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def _shard(folder: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    _unlink(folder, "model.safetensors")
    model.save_pretrained(folder, max_shard_size="40KB")


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda folder: _unlink(folder, "config.json"), r"has no config\.json"),
    "config is not JSON": (lambda folder: _cut(folder / "config.json", 20), r"config\.json is not JSON"),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), "names no model_type"),
    "config makes no sense": (
        lambda folder: _edit_config(folder, num_hidden_layers="two"),
        r"config\.json cannot be read: .*num_hidden_layers.* expected int",
    ),
    "unknown type": (
        lambda folder: _edit_config(folder, model_type="llama9000"),
        r"no model type 'llama9000'; update transformers",
    ),
    "unknown type with code of its own": (
        lambda folder: _edit_config(
            folder, model_type="llama9000", auto_map={"AutoModelForCausalLM": "modeling.Llama9000"}
        ),
        r"no model type 'llama9000'; pass --trust-remote-code .* or update transformers",
    ),
    "encoder": (
        lambda folder: transformers.BertConfig(architectures=["BertForMaskedLM"]).save_pretrained(folder),
        "BertForMaskedLM is not a causal language model",
    ),
    "encoder without a causal class": (
        lambda folder: transformers.ModernBertConfig().save_pretrained(folder),
        "modernbert is not a causal language model",
    ),
    "sequence to sequence": (
        lambda folder: transformers.T5Config(
            architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True
        ).save_pretrained(folder),
        "T5ForConditionalGeneration is a sequence-to-sequence model",
    ),
    "no tokenizer": (lambda folder: _unlink(folder, "tokenizer*"), "has no tokenizer files"),
    "only the tokenizer's settings": (
        lambda folder: _unlink(folder, "tokenizer.json"),
        "has no tokenizer files",
    ),
    "damaged tokenizer": (
        lambda folder: _cut(folder / "tokenizer.json", 900),
        "tokenizer in .* cannot be",
    ),
    "wrong vocabulary": (
        lambda folder: as_fast(byte_level_tokenizer(num_merged_tokens=130)).save_pretrained(folder),
        "wrong vocabulary: the tokenizer has ids up to 387, the model's head 378 rows",
    ),
    "no weights": (lambda folder: _unlink(folder, "*.safetensors"), r"has no model\.safetensors or"),
    "lost shard": (
        lambda folder: [_shard(folder), _unlink(folder, "model-00002-of-*")],
        r"lacks model-00002-of-\d+\.safetensors of \d+ weight files; fetch what is missing",
    ),
    "lost index of shards": (
        lambda folder: [_shard(folder), _unlink(folder, "*.index.json")],
        r"has weights in several files and no model\.safetensors\.index\.json",
    ),
    "damaged index of shards": (
        lambda folder: [_shard(folder), _cut(folder / "model.safetensors.index.json", 30)],
        r"model\.safetensors\.index\.json is no index of weight files",
    ),
    "truncated weights": (lambda folder: _cut(folder / "model.safetensors", 9000), "damaged weights in"),
    "weights without a header": (lambda folder: _cut(folder / "model.safetensors", 4), "damaged weights in"),
    "missing tensor": (
        lambda folder: _edit_weights(folder, lambda t: t.pop("model.layers.1.mlp.up_proj.weight")),
        r"do not fit LlamaForCausalLM: missing model\.layers\.1\.mlp\.up_proj\.weight",
    ),
    "missing head": (
        lambda folder: _edit_weights(folder, lambda t: t.pop("lm_head.weight")),
        r"do not fit LlamaForCausalLM: missing lm_head\.weight",
    ),
    "unexpected tensor": (
        lambda folder: _edit_weights(folder, lambda t: t.update({"model.extra.weight": torch.ones(2)})),
        r"do not fit LlamaForCausalLM: unexpected model\.extra\.weight",
    ),
    "tensor of another shape": (
        lambda folder: _edit_weights(folder, lambda t: t.update({"model.norm.weight": torch.ones(31)})),
        r"do not fit LlamaForCausalLM: mismatched model\.norm\.weight",
    ),
    "not finite": (
        lambda folder: _edit_weights(folder, lambda t: t["model.norm.weight"].fill_(math.inf)),
        "its logits are not finite in torch.float32",
    ),
    "pickled code": (_pickle, "are damaged or hold more than tensors"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_checkpoint_is_said_in_one_line(
    case: str, llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil, message = BAD[case]
    spoil(llama)
    capfd.readouterr()
    with pytest.raises(ModelError, match=message) as caught:
        load(llama)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("hf:llama: ")
    assert capfd.readouterr() == ("", "")
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("prefix", "message"),
    [("token:1000000", "lies outside the 378 tokens"), ("bos", "the tokenizer defines no such token")],
)
def test_a_prefix_that_the_model_does_not_have(prefix: str, message: str, llama: Path) -> None:
    as_fast(byte_level_tokenizer(), bos_token=None).save_pretrained(llama)
    with pytest.raises(ModelError, match=message):
        load(llama, prefix=prefix)


def test_a_file_is_not_a_checkpoint(llama: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is not a folder"):
        load(llama / "config.json")


def test_missing_shards_and_impossible_prefixes_are_known_before_loading(llama: Path) -> None:
    with pytest.raises(ModelError, match="prefix token:378 lies outside the 378 tokens"):
        hf.identify(entry(llama, prefix="token:378"), LoadOptions())
    assert hf.identify(entry(llama, prefix="token:377"), LoadOptions()).prefix == "token:377"
    _shard(llama)
    _unlink(llama, "model-00001-of-*")
    with pytest.raises(ModelError, match=r"lacks model-00001-of-\d+\.safetensors"):
        hf.identify(entry(llama), LoadOptions())
