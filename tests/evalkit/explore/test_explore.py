"""The numbers of `evalkit explore` are those of a run, its samples repeat, and no website can use it."""

import http.client
import json
import math
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import evalkit
from evalkit.corpora.store import make_corpus, make_document
from evalkit.errors import ScoringError, UsageError
from evalkit.explore.reading import MAX_TEXT_BYTES, Predictions, predictions, read
from evalkit.explore.sampling import Sampling, sample
from evalkit.explore.server import ExploreServer
from evalkit.models.loading import load_model
from evalkit.models.protocol import TokenModel
from tests.support.toys import PATIENCE_S, BigramModel, command_line, run_cli

TEXT = "".join(f"def square_{number}(x):\n    return x * x  # é {number}\n" for number in range(14))


@pytest.fixture(scope="module")
def nanos() -> list[TokenModel]:
    """The embedded models; the Llama with a context so short that its window slides."""
    models = [load_model("rwkv7-nano", device="cpu"), load_model("llama-nano", device="cpu", max_context=128)]
    return [model for model in models if isinstance(model, TokenModel)]


def test_bits_are_those_of_a_run(nanos: list[TokenModel], tmp_path: Path) -> None:
    corpus = make_corpus("typed", [make_document(TEXT, source="x")])
    ran = evalkit.run(
        models=nanos, corpora=[corpus], options=evalkit.RunOptions(output=tmp_path, device="cpu")
    )
    for model in nanos:
        [cell] = [cell for cell in ran.cells if cell.model.name == model.identity.name]
        reading = read(model, TEXT)
        assert reading.num_bytes == len(TEXT.encode())
        ends = [0, *model.encode(TEXT).ends.tolist()]
        num_tokens = len(ends) - 1
        assert num_tokens > 150
        assert reading.total_bits / reading.num_bytes == pytest.approx(cell.bits_per_byte, rel=1e-6)
        assert float(reading.tokens.bits.sum()) == pytest.approx(reading.total_bits, rel=1e-5)
        for token in (0, 1, 100, 140, num_tokens - 1):
            likely = predictions(model, TEXT, token)
            assert -math.log2(likely.probability) == pytest.approx(reading.tokens.bits[token], abs=2e-3)
            shares = [part.probability for part in likely.likeliest]
            assert shares == sorted(shares, reverse=True) and len(shares) == 10 and 0.2 < sum(shares) <= 1
            places = [place for place, part in enumerate(likely.likeliest, 1) if part.is_texts_own]
            assert places == ([likely.rank] if likely.rank <= 10 else [])
            if places:
                assert likely.likeliest[places[0] - 1].data == TEXT.encode()[ends[token] : ends[token + 1]]
    assert read(nanos[0], "").total_bits == 0


def next_predictions(model: TokenModel, text: str) -> Predictions:
    """Of the token after a text."""
    ids = model.encode(text).ids.tolist()
    assert model.encode(text + "~").ids.tolist()[:-1] == ids  # ~ is a token by itself
    return predictions(model, text + "~", len(ids))


def test_a_continuation_is_drawn_from_the_predictions(nanos: list[TokenModel]) -> None:
    for model in nanos:
        text = "def square("
        greedy = sample(model, text, Sampling(4, 0, 0)).data
        first = next_predictions(model, text).likeliest[0].data
        assert greedy.startswith(first) and sample(model, text, Sampling(1, 0, 0)).data == first
        warm = [sample(model, text, Sampling(12, 1.0, seed)) for seed in (3, 3, 4)]
        assert warm[0] == warm[1] != warm[2]
        assert sample(model, text, Sampling(12, 1.0, 3), is_stopped=lambda: True).num_tokens == 0
    long = TEXT * 2  # read in pieces
    rwkv, llama = nanos
    assert sample(rwkv, long, Sampling(1, 0, 0)).data == next_predictions(rwkv, long).likeliest[0].data
    # As many as the context of 128 holds beside what is drawn: the last 124 tokens.
    tail = ("import os\n" * 51)[:508]
    sampling = Sampling(4, 0, 0)
    assert sample(llama, "~" * 500 + tail, sampling) == sample(llama, tail, sampling)
    with pytest.raises(UsageError, match="draw fewer"):
        sample(load_model("llama-nano", device="cpu", max_context=64), "a", Sampling(64, 0, 0))  # type: ignore[arg-type]
    for sampling in (Sampling(0, 1, 0), Sampling(1, -1, 0), Sampling(1, math.nan, 0), Sampling(1, 1, -1)):
        with pytest.raises(UsageError):
            sample(rwkv, "a", sampling)


def test_logits_that_are_no_numbers_are_told_of(
    nanos: list[TokenModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    for broken in (math.nan, math.inf):
        monkeypatch.setattr(nanos[0], "logits", lambda inputs, broken=broken: torch.full((1, 2048), broken))
        for ask_model in (
            lambda: predictions(nanos[0], "abc", 0),
            lambda: sample(nanos[0], "a", Sampling(1, 1, 0)),
        ):
            with pytest.raises(ScoringError, match="a logit of rwkv7-nano is no number"):
                ask_model()


def test_drawn_as_often_as_likely(nanos: list[TokenModel]) -> None:
    """150 tokens at a temperature of 1/2: within five standard deviations of the square of probabilities."""
    text = "def read(self"
    drawn = [sample(nanos[0], text, Sampling(1, 0.5, seed)).data for seed in range(150)]
    first, second = next_predictions(nanos[0], text).likeliest[:2]
    # Of two tokens the ratio of their shares at temperature 1/2 is the square of that at 1.
    share = first.probability**2 / (first.probability**2 + second.probability**2)
    num_first, num_second = drawn.count(first.data), drawn.count(second.data)
    num_both = num_first + num_second
    assert num_both > 100 and num_second > 10
    assert abs(num_first / num_both - share) < 5 * math.sqrt(share * (1 - share) / num_both)


@pytest.fixture
def server() -> Iterator[ExploreServer]:
    with ExploreServer(0) as running:
        running.use([BigramModel("toy", 1), BigramModel("words", 2, lossy="forbidden")])
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(
    server: ExploreServer, path: str, content: object = None, **headers: str | None
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and content of an answer to the page's own request, but for some of its headers."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    sent = {"Host": server.url[7:-1], "Origin": server.url[:-1], "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_S)
    connection.putrequest("GET" if content is None else "POST", path, skip_host=True)
    for name, value in ({"Content-Length": str(len(body))} | sent).items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(None if content is None else body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, dict(answer.headers), json.loads(text) if is_json else text


def test_no_website_can_use_it(server: ExploreServer) -> None:
    port = server.server_port
    status, headers, page = ask(server, "/")
    assert status == 200 and "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in page and "connect-src 'self'" in page and "unsafe" not in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "").split("<script>")[0]
    assert not any(name.lower().startswith("access-control") for name in headers)
    text = {"text": "abc"}
    assert ask(server, "/reading", text)[0] == 200
    assert (
        ask(server, "/reading", text, Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 200
    )
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example", None):
        assert ask(server, "/", Host=host)[0] == 403
        assert ask(server, "/reading", text, Host=host, Origin=f"http://{host}")[0] == 403
    for origin in (
        "http://evil.example",
        "null",
        None,
        f"http://127.0.0.1:{port + 1}",
        f"http://localhost:{port}",
    ):
        assert ask(server, "/reading", text, Origin=origin)[0] == 403
    assert ask(server, "/reading", text, Content_Type="text/plain")[0] == 415
    for length in ("1" * 7, "0" * 30 + "1", "9" * 5000):
        assert ask(server, "/reading", text, Content_Length=length)[0] == 413


def test_wrong_requests_are_answered_in_a_line(server: ExploreServer) -> None:
    status, _, answer = ask(server, "/reading", {"text": "abc"})
    toy = BigramModel("toy", 1)
    assert status == 200 and answer["models"][0]["total_bits"] == pytest.approx(toy.bits("abc"), rel=1e-6)
    assert answer["models"][0]["tokens"]["lengths"] == [1, 1, 1]
    expected = {
        "longer": ({"text": "é" * (MAX_TEXT_BYTES // 2 + 1)}, 422, f"at most {MAX_TEXT_BYTES:,}"),
        "as long as can be": ({"text": "\x00" * MAX_TEXT_BYTES}, 200, ""),
        "half a character": ({"text": "a\ud800"}, 422, "character 2 of the text is half of one"),
        "lossy": ({"text": "forbidden"}, 422, "words cannot represent this text: the toy cannot write"),
        "fields": ({"text": "a", "more": 1}, 422, "cannot be understood"),
        "no object": ([1], 422, "cannot be understood"),
        "no JSON": (b"{", 400, "no JSON"),
        "deep": (b"[" * 90_000, 400, "no JSON"),
        "no text": (b"\xff", 400, "no JSON"),
    }
    for name, (content, expected_status, words) in expected.items():
        status, _, answer = ask(server, "/reading", content)
        assert status == expected_status and words in answer.get("error", ""), name
    assert ask(server, "/reading", {"text": ""}, Content_Length="9" * 30)[0] == 413
    assert ask(server, "/reading", {"text": ""}, Content_Length=None)[0] == 411
    assert ask(server, "/reading", {"text": ""}, Content_Length="-1")[0] == 411
    assert ask(server, "/other", {})[0] == ask(server, "/../etc/passwd")[0] == 404
    status, _, answer = ask(server, "/predictions", {"text": "abc", "model": 0, "token": 0})
    assert status == 422 and "toy does not show the distribution of its next token" in answer["error"]
    for model in (-1, 2):
        status, _, answer = ask(server, "/predictions", {"text": "abc", "model": model, "token": 0})
        assert status == 422 and f"no model at place {model}" in answer["error"]


def test_wrong_commands(server: ExploreServer) -> None:
    for words, message in (
        (["--models", "xz"], "--models: xz is a compressor, which has no tokens to show"),
        (["--models", "rwkv7-nano,llama-nano,xz"], "--models names 3"),
        (["--models", ""], "--models names 0"),
        (["--models", "rwkv7-nan"], "rwkv7-nano"),
        (
            ["--models", "rwkv7-nano", "--port", str(server.server_port)],
            "cannot be had: Address already in use",
        ),
    ):
        outcome = run_cli("explore", *words)
        assert outcome.exit_code == 2 and message in outcome.stderr and len(outcome.stderr.splitlines()) == 1


def test_ctrl_c_ends_it_in_the_midst_of_an_answer() -> None:
    words = command_line("explore", "--models", "rwkv7-nano", "--device", "cpu")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:") and line.endswith(
            "/ shows a text as read by rwkv7-nano; Ctrl-C ends it\n"
        )
        address = line.split()[0]
        port = int(address.rstrip("/").rpartition(":")[2])
        body = json.dumps({"text": "x" * MAX_TEXT_BYTES})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        headers = {"Origin": address[:-1], "Content-Type": "application/json"}
        connection.request("POST", "/reading", body, headers)
        # Answered at the same time, so that the reading has begun or is about to.
        page = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        page.request("GET", "/")
        assert page.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        connection.close()
        page.close()
    assert (process.returncode, out, err) == (0, "ended\n", "")
