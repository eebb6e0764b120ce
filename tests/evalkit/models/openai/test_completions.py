"""Completions servers with ``echo`` and ``logprobs``: equal to the model itself, and what is wrong is "
"named."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina
from numpy.typing import NDArray

from evalkit.corpora.document import Document, make_document
from evalkit.errors import EvalkitError, ModelError, UsageError
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.scoring.documents import score_documents
from tests.support.byte_llama import byte_llama
from tests.support.completions_server import MODEL, CompletionsServer, Costs, Manner
from tests.support.hub_server import serving

TEXTS = ("The harbour opened at ten.\n" * 40, "naïve 漢字 🙂 <|start|>", "x")


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Tries follow each other at once, and are as many as ever."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


def documents() -> list[Document]:
    return [make_document(text, source="test", license="CC0-1.0") for text in TEXTS]


def load(spec: str, max_context: int | None = None) -> TokenModel:
    model = load_model(spec, max_context=max_context)
    assert isinstance(model, TokenModel)
    return model


def bits(model: TokenModel, policy: str = "document") -> list[float]:
    totals = [score.total_bits for score in score_documents(model, documents(), policy)]
    return [total for total in totals if total is not None]


@pytest.mark.parametrize("owner", ["vllm", "sglang", "proxy", "stripping"])
def test_scores_are_those_of_the_model_itself(owner: str) -> None:
    """Also of documents longer than the context, which are cut by the policy as ever."""
    with serving(CompletionsServer(Manner(owner=owner, context_length=302))) as server:
        served, local = load(server.spec), load(f"hf:{byte_llama()}", max_context=300)
        assert served.context_limit == 300
        for policy in ("document", "uncheatable", "lm-eval"):
            expected = bits(local, policy)
            for total, own, text in zip(bits(served, policy), expected, TEXTS, strict=True):
                assert abs(total - own) / len(text.encode()) < 1e-6
        assert max(len(body["prompt"]) for body in server.bodies) == 301


def test_what_a_cell_says(tmp_path: Path) -> None:
    with serving(CompletionsServer()) as server:
        [located] = locate_models([server.spec], LoadOptions())
        identity, again = located.identity, locate_models([server.spec], LoadOptions())[0].identity
        loaded = located.load().identity
    with serving(CompletionsServer()) as elsewhere:
        moved = locate_models([elsewhere.spec], LoadOptions())[0].identity
    assert identity == again
    assert (identity.name, identity.numerics) == (f"openai:{MODEL}", "vllm 0.11.0")
    assert identity.weights_sha256 == "not verifiable"
    assert identity.context_limit == 512
    assert {"server": "vllm 0.11.0", "target": MODEL}.items() <= identity.details.items()
    assert "127.0.0.1" not in json.dumps(dataclasses.asdict(loaded), default=str)
    assert loaded.details["probe_nats"] == pytest.approx(1199.361, abs=0.01)
    assert moved.config_sha256 != identity.config_sha256  # another server may have other weights


def test_a_model_that_is_not_named_is_the_only_one() -> None:
    with serving(CompletionsServer()) as server:
        unnamed = f"openai:{server.url}/v1?tokenizer={byte_llama()}"
        assert locate_models([unnamed], LoadOptions())[0].identity.name == f"openai:{MODEL}"
        with pytest.raises(UsageError, match=rf"unknown model 'llama'.*has: {MODEL}"):
            locate_models([f"{unnamed}#llama"], LoadOptions())


def test_two_servers_of_one_model_have_two_names() -> None:
    with serving(CompletionsServer()) as first, serving(CompletionsServer()) as second:
        names = [located.identity.name for located in locate_models([first.spec, second.spec], LoadOptions())]
        assert names == [f"openai:{MODEL}@127.0.0.1:{server.server_port}" for server in (first, second)]


def test_an_empty_context_costs_the_vocabulary() -> None:
    with serving(CompletionsServer()) as server:
        model = load(server.spec)
        unread, read, nothing = model.nats([[72, 105], [105], []], contexts=[(), (72,), ()])
    assert unread[0] == pytest.approx(math.log(257))
    assert unread[1] == pytest.approx(read[0], abs=1e-5)
    assert len(nothing) == 0


def test_requests_that_fail_are_made_again() -> None:
    """Of ten requests one fails, one closes the connection: the bits are the same to the last one."""
    statuses = {3: 500, 5: 429, 7: 0}
    with serving(CompletionsServer()) as server:
        expected = bits(load(server.spec))
    with serving(CompletionsServer(Manner(status=lambda number: statuses.get(number % 10, 200)))) as server:
        assert bits(load(server.spec)) == expected
        num_failed = sum(number % 10 in statuses for number in range(1, len(server.bodies) + 1))
    assert num_failed >= 4


def test_no_more_requests_at_a_time_than_workers() -> None:
    with serving(CompletionsServer()) as server:
        model = load(server.spec.replace("?", "?workers=3&"))
        model.nats([[72, 105]] * 40)
        assert server.most_at_once <= 3


def prepend(*before: int, behind: tuple[int, ...] = ()) -> Callable[[list[int]], list[int]]:
    return lambda ids: [*before, *ids, *behind]


def hide_first(ids: list[int]) -> slice:
    return slice(1, None)


def change(place: int, value: Any) -> Callable[[Costs, NDArray[np.float64]], Costs]:
    return lambda costs, logprobs: [*costs[:place], value, *costs[place + 1 :]]


def likeliest(costs: Costs, logprobs: NDArray[np.float64]) -> Costs:
    return [None, *logprobs.max(axis=1).tolist()]


def of_neighbours(costs: Costs, logprobs: NDArray[np.float64]) -> Costs:
    return [None, *costs[2:], costs[-1]]


def renormalised(logprobs: NDArray[np.float64], num_best: int = 10) -> NDArray[np.float64]:
    """Over the likeliest; the others have some cost or other."""
    ranked = np.sort(logprobs, axis=1)
    total = np.log(np.exp(ranked[:, -num_best:]).sum(axis=1, keepdims=True))
    return np.where(logprobs >= ranked[:, -num_best, None], logprobs - total, logprobs - 30)


def with_floor(logprobs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the forty likeliest, renormalised; the others have one cost."""
    scored = renormalised(logprobs, 40)
    return np.where(scored > logprobs - 10, scored, -20.0)


def looking_back(logprobs: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is said of a place is what was computed one later: the token itself has been seen."""
    return np.concatenate((logprobs[1:], logprobs[-1:]))


def generated_only(answer: dict[str, Any]) -> object:
    logprobs = answer["choices"][0]["logprobs"]
    for name, values in logprobs.items():
        logprobs[name] = values[-1:]
    answer["choices"][0]["prompt_token_ids"] = None
    return answer


def without_logprobs(answer: dict[str, Any]) -> object:
    answer["choices"][0]["logprobs"] = None
    return answer


def without_best(answer: dict[str, Any]) -> object:
    answer["choices"][0]["logprobs"]["top_logprobs"] = None
    return answer


def of_chat(answer: dict[str, Any]) -> object:
    """llama.cpp's ``/v1/completions``: the logprobs of a conversation's answer."""
    answer["choices"][0]["logprobs"] = {"content": [{"id": 1, "token": "a", "logprob": -0.5}]}
    return answer


CHAT = prepend(60, 62, 10, behind=(60, 62))
FAULTS = {
    "truncates": (Manner(reads=lambda ids: ids[-50:]), r"truncates prompts: it reads 50 of \d+ tokens"),
    "truncates, SGLang": (Manner(owner="sglang", reads=lambda ids: ids[-50:]), "truncates prompts"),
    "truncates, texts only": (Manner(owner="proxy", reads=lambda ids: ids[-50:]), "truncates prompts"),
    "truncates what is long": (Manner(reads=lambda ids: ids[:400]), "truncates prompts: it reads 400 of 513"),
    "adds a BOS": (Manner(reads=prepend(256)), "puts token 256 before a prompt: it adds a BOS"),
    "adds a BOS, texts only": (Manner(owner="proxy", reads=prepend(256)), "1 tokens more than the .* BOS"),
    "adds a BOS, untold": (Manner(reads=prepend(256), tells=hide_first), "1 tokens more than the .* BOS"),
    "adds a BOS, seen by a cost": (
        Manner(owner="proxy", reads=prepend(256), tells=hide_first),
        "gives a prompt's first token a cost",
    ),
    "applies a chat template": (Manner(reads=CHAT), "puts 3 tokens before a prompt and 2 behind it: it appl"),
    "applies a chat template, texts only": (
        Manner(owner="proxy", reads=CHAT),
        "5 tokens more than the .* chat",
    ),
    "drops the first token": (Manner(reads=lambda ids: ids[1:]), "truncates prompts"),
    "another tokenizer": (
        Manner(reads=lambda ids: [*ids[:9], 7, *ids[10:]]),
        "other tokens .* from token 9 on",
    ),
    "another tokenizer, texts only": (
        Manner(owner="proxy", reads=lambda ids: [(token + 1) % 256 for token in ids]),
        "reads other tokens than it is sent: ",
    ),
    "to the base 10": (Manner(scores=lambda logprobs: logprobs / math.log(10)), "to the base 10"),
    "to the base 2": (Manner(scores=lambda logprobs: logprobs / math.log(2)), "to the base 2"),
    "renormalised": (Manner(scores=renormalised), "it renormalises over those"),
    "renormalised, with a floor": (Manner(scores=with_floor), r"the very same cost \(-20\): it knows none"),
    "of the likeliest token": (Manner(costs=likeliest), "the cost of another token than the prompt's"),
    "of neighbours": (Manner(costs=of_neighbours), "the cost of another token than the prompt's"),
    "sees later tokens": (Manner(scores=looking_back), "lets tokens see later ones|belong to other tokens"),
    "of generated tokens only": (Manner(answers=generated_only), "costs of generated tokens only"),
    "no logprobs": (Manner(answers=without_logprobs), "passes over echo and logprobs"),
    "logprobs of a chat": (Manner(answers=of_chat), "passes over echo and logprobs"),
    "no likeliest tokens": (Manner(answers=without_best), r"no likeliest tokens \(top_logprobs\)"),
    "NaN": (Manner(costs=change(7, math.nan)), "gives nan for token 7 of a prompt: no number"),
    "above 0": (Manner(costs=change(7, 0.25)), r"token 7 of a prompt a probability above 1 \(\+0.25\)"),
    "no cost": (Manner(costs=change(7, None)), "gives no cost of token 7"),
    "a text": (Manner(costs=change(7, "-1.5")), "gives '-1.5' for token 7"),
    "minus infinity": (Manner(costs=change(7, -9999.0)), "token 7 of a prompt no probability at all"),
    "HTML": (
        Manner(answers=lambda answer: b"<html>\x1b[2J Sign in</html>"),
        r"answers no JSON but '<html>\\x1b",
    ),
    "a list": (Manner(answers=lambda answer: [1]), "passes over echo and logprobs"),
    "deep JSON": (Manner(answers=lambda answer: b"[" * 10**5), "answers no JSON"),
    "500": (Manner(status=lambda number: 500), "answers HTTP 500: out of luck"),
    "404": (Manner(status=lambda number: 404), "answers HTTP 404: out of luck"),
    "no ids": (Manner(status=lambda number: 400), "takes no prompt of token ids .* HTTP 400: out of luck"),
    "no ids, told as its own error": (
        Manner(status=lambda number: 500, trouble="2 validation errors: prompt should be a valid string"),
        "takes no prompt of token ids .* HTTP 500: 2 validation errors: prompt",
    ),
    "closes": (Manner(status=lambda number: 0), "cannot be reached"),
    "redirects": (
        Manner(status=lambda number: 307),
        "sends on to http://127.0.0.1:9/.*, which is not followed",
    ),
    "says no length": (Manner(context_length=None), "pass --max-context"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_before_anything_is_scored(fault: str) -> None:
    manner, message = FAULTS[fault]
    with serving(CompletionsServer(manner)) as server, pytest.raises(ModelError, match=message) as caught:
        load(server.spec)
    assert "\n" not in str(caught.value)
    assert "127.0.0.1:9" not in str(server.requests)


def test_a_server_that_breaks_later_fails_the_document() -> None:
    """The checks were passed: each answer is looked at all the same."""
    with serving(CompletionsServer()) as server:
        model = load(server.spec)
        server.manner = Manner(reads=lambda ids: ids[-100:])
        with pytest.raises(ModelError, match="truncates prompts: it reads 100 of 513 tokens"):
            bits(model)


def test_a_server_that_never_answers_has_a_deadline() -> None:
    message = r"did not answer within 0.2 s; .*\?timeout=SECONDS"
    manner = Manner(status=lambda number: -1)
    with serving(CompletionsServer(manner)) as server, pytest.raises(ModelError, match=message):
        load(server.spec.replace("?", "?timeout=0.2&"))


def test_nobody_there() -> None:
    with serving(CompletionsServer()) as server:
        spec = server.spec
    with pytest.raises(
        ModelError, match=r"127.0.0.1:\d+ cannot be reached: .*; start it, or check the address"
    ):
        load(spec)


def test_a_server_that_knows_no_extensions_is_asked_without() -> None:
    refused = ("return_token_ids", "return_tokens_as_token_ids", "add_special_tokens")
    with serving(CompletionsServer(Manner(owner="proxy", unknown_fields=refused))) as server:
        served = load(server.spec)
        assert bits(served) == pytest.approx(bits(load(f"hf:{byte_llama()}", max_context=512)), rel=1e-6)
        assert not set(refused) & server.bodies[-1].keys()


def test_the_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serving(CompletionsServer(Manner(wants_key="sesame-77"))) as server:
        with pytest.raises(ModelError, match=r"HTTP 401: .*; set EVALKIT_API_KEY"):
            load(server.spec)
        monkeypatch.setenv("EVALKIT_API_KEY", "wrong-key-5")
        with pytest.raises(ModelError, match=r"HTTP 401: Unauthorized: Bearer …; it does not take that key"):
            load(server.spec)
        monkeypatch.setenv("EVALKIT_API_KEY", "sesame-77")
        identity = load(server.spec).identity
        assert "sesame" not in json.dumps(dataclasses.asdict(identity), default=str)
        # A file that lies in the working folder names a server, and gets no key.
        catalog = tmp_path / "evalkit.toml"
        target = f"{server.url}/v1#{MODEL}"
        catalog.write_text(
            f'[models.mine]\nloader = "openai"\ntarget = "{target}"\ntokenizer = "{byte_llama()}"\n'
        )
        with pytest.raises(ModelError, match="HTTP 401: Unauthorized: None"):
            locate_models(["mine"], LoadOptions(), config_path=catalog)
        for key in ("two words", "line\n", "schlüssel"):
            monkeypatch.setenv("EVALKIT_API_KEY", key)
            with pytest.raises(UsageError, match="holds a blank") as caught:
                load(server.spec)
            assert key not in str(caught.value)


def test_a_catalog_names_a_server(tmp_path: Path) -> None:
    with serving(CompletionsServer()) as server:
        catalog = tmp_path / "evalkit.toml"
        table = f'[models.mine]\nloader = "openai"\ntarget = "{server.url}/v1#{MODEL}"\n'
        table += f'tokenizer = "{byte_llama()}"\n'
        catalog.write_text(f'{table}knowledge_cutoff = "2025-01"\nprefix = "none"\n')
        [located] = locate_models(["mine"], LoadOptions(), config_path=catalog)
        assert (located.identity.name, located.identity.prefix) == ("mine", "none")
        assert located.identity.details["knowledge_cutoff"] == "2025-01"
        assert isinstance(located.load(), TokenModel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LoadOptions(dtype="float32"), "leave --dtype and --device out"),
        (LoadOptions(prefix="token:999"), "lies outside the 257 tokens"),
    ],
)
def test_options_that_a_server_cannot_follow(options: LoadOptions, message: str) -> None:
    with serving(CompletionsServer()) as server, pytest.raises(EvalkitError, match=message):
        locate_models([server.spec], options)[0].load()


def test_the_tokenizer_must_be_had() -> None:
    with serving(CompletionsServer()) as server:
        with pytest.raises(ModelError, match=f"{MODEL}|hub"):
            load(f"openai:{server.url}/v1#{MODEL}")
        server.root = "/srv/models/llama"
        with pytest.raises(ModelError, match=r"nothing says which tokenizer .*\?tokenizer=PLACE"):
            load(f"openai:{server.url}/v1")
