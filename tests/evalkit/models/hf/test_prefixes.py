"""What a tokenizer puts before a text, what separates documents, and what is read for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, processors

from evalkit.errors import ModelError
from evalkit.models.hf import model as hf
from evalkit.models.hf.prefixes import tokenizer_start
from evalkit.models.prefixes import WITH_CONTEXT, Prefix
from evalkit.models.protocol import LoadOptions
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


def with_tokens(
    names: list[str], template: str | None = None, tokenizer: Tokenizer | None = None
) -> Tokenizer:
    """A tokenizer with these special tokens too, and a template of any of its tokens."""
    tokenizer = tokenizer or byte_level_tokenizer()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    if template is not None:
        special = {part for part in template.split() if not part.startswith("$")}
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(name, tokenizer.token_to_id(name)) for name in sorted(special)]
        )
    return tokenizer


def checkpoint(folder: Path, fast: Any) -> Path:
    return save_checkpoint(folder, random_model("llama", len(fast)), fast)


def ids_of(fast: Any, *names: str) -> tuple[int, ...]:
    return tuple(map(fast.convert_tokens_to_ids, names))


@pytest.mark.parametrize("make", [byte_level_tokenizer, sentencepiece_tokenizer])
def test_a_template_of_two_unnamed_tokens_is_read_and_its_suffix_is_not(make: Any, tmp_path: Path) -> None:
    last = "</s>" if make is sentencepiece_tokenizer else "<|endoftext|>"
    tokenizer = with_tokens(["[gMASK]", "<sop>"], f"[gMASK] <sop> $A {last}", make())
    fast = as_fast(tokenizer, bos_token=None)
    start = ids_of(fast, "[gMASK]", "<sop>")
    folder = checkpoint(tmp_path / "glm", fast)
    model = hf.load(entry(folder), LoadOptions())
    rule = f"token:{start[0]},{start[1]}"
    assert (model.prefix, model.identity.prefix) == (start, rule)
    assert model.identity.policy_prefixes["uncheatable"] == Prefix(rule, start)
    assert [model.identity.token_names[token] for token in start] == ["[gMASK]", "<sop>"]
    # By the tokenizer itself: what it makes of the text is the start, the text's ids and the suffix.
    full = transformers.AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"]
    ids = model.encode(TEXT).ids.tolist()
    assert full == [*start, *ids, fast.eos_token_id]
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).double().eval()
    with torch.inference_mode():
        log_p = network(torch.tensor([[*start, *ids]])).logits[0].log_softmax(-1)[len(start) - 1 : -1]
    reference = -log_p.gather(-1, torch.tensor(ids)[:, None])[:, 0]
    np.testing.assert_allclose(model.nats([ids])[0], reference, rtol=1e-4)


@pytest.mark.parametrize("template", [None, "<|endoftext|> <|startoftext|> $A"])
@pytest.mark.parametrize("setting", [True, False, None])
def test_what_the_settings_say_of_bos_holds_where_no_template_does(
    setting: bool | None, template: str | None, tmp_path: Path
) -> None:
    """As DeepSeek's: tokenizer.json has no template, and tokenizer_config.json says ``add_bos_token``."""
    fast = as_fast(with_tokens([], template))
    fast.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": setting}))
    read = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    expected = (0, 1) if template else (1,) if setting else ()
    assert tokenizer_start(read, tmp_path).template == expected


CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
SEPARATED_BY = {
    "base: EOS": (["<|im_end|>"], {"eos_token": "<|endoftext|>"}, "<|endoftext|>"),
    "a BOS that nothing adds": (
        [],
        {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"},
        "<|endoftext|>",
    ),
    "one token for both": ([], {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}, "<|endoftext|>"),
    # SmolLM2-Instruct: both named tokens are those of turns.
    "instruct": (
        ["<|im_start|>", "<|im_end|>"],
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": CHAT},
        "<|endoftext|>",
    ),
    "instruct without a BOS": (
        ["<|im_end|>"],
        {"bos_token": None, "eos_token": "<|im_end|>"},
        "<|endoftext|>",
    ),
    "harmony": (["<|return|>"], {"eos_token": "<|return|>"}, "<|endoftext|>"),
    "exaone": (["[|endofturn|]"], {"eos_token": "[|endofturn|]"}, "<|endoftext|>"),
    # No list of names has it, but a conversation ends its turns with it.
    "a turn's end by its template": (
        ["<stop>"],
        {"eos_token": "<stop>", "chat_template": "{{ messages[0].content }}<stop>"},
        "<|endoftext|>",
    ),
    "an EOS that no template names": (["<stop>"], {"eos_token": "<stop>"}, "<stop>"),
    # Granite: its EOS ends documents and turns.
    "both ends": (
        ["<|end_of_text|>"],
        {"eos_token": "<|end_of_text|>", "chat_template": "{{ messages[0].content }}<|end_of_text|>"},
        "<|end_of_text|>",
    ),
    "BOS alone": ([], {"bos_token": "<|startoftext|>", "eos_token": None}, "<|startoftext|>"),
    "nothing named": ([], {"bos_token": None, "eos_token": None}, "<|endoftext|>"),
}


@pytest.mark.parametrize("case", SEPARATED_BY)
def test_where_the_tokenizer_adds_nothing_the_separator_of_pretraining_is_read(
    case: str, tmp_path: Path
) -> None:
    added, settings, expected = SEPARATED_BY[case]
    fast = as_fast(with_tokens(added), **settings)
    tokens = tokenizer_start(fast, tmp_path)
    assert tokens.template == ()
    assert tokens.separator == fast.convert_tokens_to_ids(expected)


def test_a_turn_s_end_is_all_there_is(tmp_path: Path) -> None:
    bare = as_fast(sentencepiece_tokenizer())
    assert tokenizer_start(bare, tmp_path).separator == bare.convert_tokens_to_ids("</s>")
    tokenizer = with_tokens(["<|im_end|>"], tokenizer=sentencepiece_tokenizer())
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] != "</s>"]
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), eos_token="<|im_end|>"
    )
    # </s> is an ordinary entry there, as a tag of HTML may be: no separator.
    assert tokenizer_start(fast, tmp_path).separator == fast.eos_token_id


def test_an_instruct_model_reads_endoftext_and_says_so(tmp_path: Path) -> None:
    fast = as_fast(
        with_tokens(["<|im_start|>", "<|im_end|>"]), bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    folder = checkpoint(tmp_path / "instruct", fast)
    model = hf.load(entry(folder), LoadOptions())
    [start] = ids_of(fast, "<|endoftext|>")
    assert (model.identity.prefix, model.prefix) == (f"token:{start}", (start,))
    assert hf.identify(entry(folder, prefix="eos"), LoadOptions()).prefix == "eos"
    assert hf.identify(entry(folder), LoadOptions(prefix="none")).prefix == "none"


FICKLE = """
import transformers

class Fickle(transformers.PreTrainedTokenizerFast):
    def __call__(self, text, add_special_tokens=True):
        ids = super().__call__(text, add_special_tokens=False)["input_ids"]
        return {"input_ids": [self.bos_token_id] * len(text) * add_special_tokens + ids}
"""


def test_a_start_that_depends_on_the_text_must_be_said(tmp_path: Path) -> None:
    """The repository's own tokenizer puts as many tokens before a text as the text has characters."""
    folder = checkpoint(tmp_path / "fickle", as_fast(byte_level_tokenizer()))
    (folder / "tokenization_fickle.py").write_text(FICKLE)
    settings = folder / "tokenizer_config.json"
    settings.write_text(
        json.dumps(
            json.loads(settings.read_text())
            | {
                "tokenizer_class": "Fickle",
                "auto_map": {"AutoTokenizer": [None, "tokenization_fickle.Fickle"]},
            }
        )
    )
    options = LoadOptions(trust_remote_code=True)
    with pytest.raises(ModelError, match="depends on the text; pass --prefix"):
        hf.identify(entry(folder), options)
    assert hf.identify(entry(folder), options._replace(prefix="bos")).prefix == "bos"


def test_an_option_holds_under_every_policy_and_the_catalog_s_rule_under_document(tmp_path: Path) -> None:
    fast = as_fast(byte_level_tokenizer(adds_bos=True))
    folder = checkpoint(tmp_path / "model", fast)
    [bos] = ids_of(fast, "<|startoftext|>")
    by_catalog = hf.identify(entry(folder, prefix="eos"), LoadOptions())
    assert by_catalog.prefix == "eos"
    assert by_catalog.policy_prefixes == {
        "lm-eval": Prefix("bos", (bos,)),
        WITH_CONTEXT: Prefix("bos", (bos,)),
        "uncheatable": Prefix("bos", (bos,)),
    }
    by_option = hf.identify(entry(folder, prefix="bos"), LoadOptions(prefix="token:5,6"))
    assert by_option.prefix == "token:5,6"
    assert by_option.policy_prefixes == {
        "lm-eval": Prefix("token:5,6", (5, 6)),
        WITH_CONTEXT: Prefix("token:5,6", (5, 6)),
        "uncheatable": Prefix("token:5,6", (5, 6), (5, 6)),
    }
    # The option's bos, and the catalog's uncheatable_bos, are its loop with add_bos=True.
    twice = Prefix(f"token:{bos},{bos},{bos}", (bos, bos, bos), (bos, bos))
    assert hf.identify(entry(folder), LoadOptions(prefix="bos")).policy_prefixes["uncheatable"] == twice
    gemma = hf.identify(entry(folder, prefix="bos", uncheatable_bos=True), LoadOptions())
    assert gemma.policy_prefixes["uncheatable"] == twice
    assert gemma.prefix == "bos"
    with pytest.raises(ModelError, match=r"prefix token:5,378 lies outside the 378 tokens"):
        hf.identify(entry(folder), LoadOptions(prefix="token:5,378"))
