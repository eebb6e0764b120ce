import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evalkit
from evalkit.errors import CorpusError, ModelError, UsageError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.ranking import RunResult
from evalkit.runner.reporter import Silent
from tests.support.tiny_models import TEXTS as HF_TEXTS
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import (
    BLOCK,
    PATIENCE_S,
    TEXTS,
    BigramModel,
    BrokenModel,
    SlowCodec,
    cell_files,
    command_line,
    corpus_of,
    numbers,
    plugin_environment,
    run_cli,
    snapshot,
    write_plugin,
    write_texts,
)

CORPUS = corpus_of(TEXTS)
OTHER = corpus_of(TEXTS[:5], "other")


def unchanged(before: dict[str, Any], folder: Path) -> bool:
    """Whether every file of an earlier snapshot is what it was; folders may have new files."""
    after = snapshot(folder)
    return all(after[name] == state for name, state in before.items() if (folder / name).is_file())


# --- what is there is not computed again


def test_the_second_run_computes_nothing_and_touches_nothing(tmp_path: Path) -> None:
    model = BigramModel()
    first = run([model, "zstd"], [CORPUS, OTHER], options=RunOptions(output=tmp_path))
    assert (first.num_scored, len(first.cells), first.failures) == (4, 4, ())
    before, num_calls = snapshot(tmp_path), model.num_calls
    second = run([model, "zstd"], [CORPUS, OTHER], options=RunOptions(output=tmp_path))
    assert (second.num_scored, model.num_calls) == (0, num_calls)
    assert snapshot(tmp_path) == before  # folders too: nothing was even tried out in them
    assert second.cells == first.cells
    assert second.to_json() == {**first.to_json(), "num_scored": 0}


def test_a_new_model_and_a_new_corpus_compute_only_their_cells(tmp_path: Path) -> None:
    model = BigramModel()
    assert run([model], [CORPUS], options=RunOptions(output=tmp_path)).num_scored == 1
    before, num_calls = snapshot(tmp_path), model.num_calls
    assert (
        run([model, BigramModel("second", 1)], [CORPUS], options=RunOptions(output=tmp_path)).num_scored == 1
    )
    assert model.num_calls == num_calls
    assert (
        run(
            [model, BigramModel("second", 1)], [CORPUS, OTHER], options=RunOptions(output=tmp_path)
        ).num_scored
        == 2
    )
    assert len(cell_files(tmp_path)) == 4
    assert unchanged(before, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"policy": "uncheatable"},
        {"policy": "lm-eval"},
        {"limit": 3},
        {"token_bits": True},
        {"corpora": [corpus_of([*TEXTS[:-1], "another text\n"])]},
        {"corpora": [corpus_of(TEXTS[::-1])]},
        {"models": [BigramModel(weights_sha256="trained on")]},
        {"models": [BigramModel(dtype="bfloat16")]},
        {"models": [BigramModel(context_limit=64)]},
        {"models": [BigramModel(tokenizer_sha256="other")]},
    ],
    ids=lambda change: " ".join(change),
)
def test_what_can_change_the_numbers_makes_a_new_cell(change: dict[str, Any], tmp_path: Path) -> None:
    request: dict[str, Any] = {
        "models": [BigramModel()],
        "corpora": [CORPUS],
        "options": RunOptions(output=tmp_path),
    }
    [old] = run(**request).cells
    before = snapshot(tmp_path)
    changed = run(**request | change)
    assert changed.num_scored == 1
    assert changed.cells[0].path.parent == old.path.parent
    assert len(cell_files(tmp_path)) == 2
    assert unchanged(before, tmp_path)
    assert run(**request | change).num_scored == 0
    assert run(**request).num_scored == 0
    assert run(**request).cells == (old,)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_level_tokenizer(adds_bos=True)
    model = random_model("llama", tokenizer.get_vocab_size())
    return save_checkpoint(tmp_path_factory.mktemp("hf") / "tiny", model, as_fast(tokenizer))


def test_a_checkpoints_dtype_context_and_weights_make_new_cells(checkpoint: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", [text * 3 for text in HF_TEXTS])
    output = tmp_path / "runs"

    def score(**options: Any) -> RunResult:
        run_options = RunOptions(output=output, device="cpu", **options)
        result = run([f"hf:{checkpoint}"], [str(texts)], options=run_options)
        assert result.failures == ()
        return result

    assert score().num_scored == 1
    before = snapshot(output)
    assert score(dtype="float32").num_scored == 0  # what auto means on a CPU
    assert score(dtype="bfloat16").num_scored == 1
    assert score(max_context=64).num_scored == 1
    assert score(max_context=4096).num_scored == 0  # beyond the model's own limit
    weights = checkpoint / "model.safetensors"
    old = weights.read_bytes()
    random_model("llama", byte_level_tokenizer().get_vocab_size(), seed=1).save_pretrained(checkpoint)
    assert len(weights.read_bytes()) == len(old)
    assert score().num_scored == 1
    assert len(cell_files(output)) == 4
    assert unchanged(before, output)
    weights.write_bytes(old)
    assert score().num_scored == 0
    contents = [json.loads(path.read_text()) for path in cell_files(output)]
    assert len({content["metrics"]["bits_per_byte"] for content in contents}) == 4
    assert {content["model"]["dtype"] for content in contents} == {"float32", "bfloat16"}
    assert {content["policy"]["context_limit"] for content in contents} == {64, 512}


@pytest.mark.parametrize("limit", [len(TEXTS), len(TEXTS) + 1, 10**9])
def test_a_limit_that_leaves_nothing_out_is_none(limit: int, tmp_path: Path) -> None:
    assert run(["zstd"], [CORPUS], options=RunOptions(output=tmp_path)).num_scored == 1
    assert run(["zstd"], [CORPUS], options=RunOptions(output=tmp_path), limit=limit).num_scored == 0
    assert run(["zstd"], [CORPUS], options=RunOptions(output=tmp_path), limit=len(TEXTS) - 1).num_scored == 1


def test_a_cell_with_token_bits_serves_a_request_without(tmp_path: Path) -> None:
    [with_tokens] = run([BigramModel()], [CORPUS], options=RunOptions(output=tmp_path), token_bits=True).cells
    without = run([BigramModel()], [CORPUS], options=RunOptions(output=tmp_path))
    assert (without.num_scored, without.cells) == (0, (with_tokens,))


def test_codecs_know_neither_policy_nor_tokens(tmp_path: Path) -> None:
    assert run(["zstd"], [CORPUS], options=RunOptions(output=tmp_path)).num_scored == 1
    assert run(["zstd"], [CORPUS], options=RunOptions(output=tmp_path), policy="uncheatable").num_scored == 0
    assert run(["zstd"], [CORPUS], options=RunOptions(output=tmp_path), token_bits=True).num_scored == 0


def test_a_dry_run_scores_nothing_and_writes_nothing(tmp_path: Path) -> None:
    model = BigramModel()
    result = run([model], [CORPUS], options=RunOptions(output=tmp_path / "runs", dry_run=True))
    assert (result.num_scored, result.cells, model.num_calls) == (0, (), 0)
    assert not (tmp_path / "runs").exists()


def test_the_public_function_takes_names_paths_and_objects(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", TEXTS)
    result = evalkit.run(
        models=["zstd", BigramModel()],
        corpora=[str(texts), CORPUS],
        options=evalkit.RunOptions(output=tmp_path / "runs"),
    )
    assert result.corpora == ("texts", "corpus")
    assert result.models == ("zstd", "bigram")
    assert [(cell.model.name, cell.corpus.name) for cell in result.cells] == [
        *(("zstd", "texts"), ("zstd", "corpus"), ("bigram", "texts"), ("bigram", "corpus"))
    ]


def test_the_ranking_is_by_the_plain_mean_over_corpora_with_the_incomplete_last(tmp_path: Path) -> None:
    good, worse = BigramModel("good"), BigramModel("other", 1)
    broken = [BrokenModel("nan"), BrokenModel("error")]
    texts = corpus_of([*TEXTS, "BREAK"])
    result = run([*broken, worse, good], [texts, OTHER], options=RunOptions(output=tmp_path))
    means = {}
    for model in (good, worse):
        per_corpus = [
            sum(model.bits(document.text) for document in corpus.documents) / corpus.num_bytes
            for corpus in (texts, OTHER)
        ]
        means[model.identity.name] = sum(per_corpus) / 2
    ranking = result.ranking()
    assert [ranked.model for ranked in ranking[:2]] == sorted(means, key=lambda name: means[name])
    for ranked in ranking[:2]:
        assert ranked.bits_per_byte == pytest.approx(means[ranked.model], rel=1e-6)
        assert ranked.interval is not None
        assert ranked.interval.low < means[ranked.model] < ranked.interval.high
    assert [(ranked.bits_per_byte, ranked.interval) for ranked in ranking[2:]] == [(None, None)] * 2
    assert [list(ranked.cells) for ranked in ranking[2:]] == [["other"]] * 2


# --- failures


FAULTS = {
    "nan": "got costs that are not",
    "infinite": "got costs that are not",
    "shape": "got costs that are not",
    "coverage": "encode() of document",
    "rows": "ValueError: zip()",
    "error": "RuntimeError: the device has left the building (run with --debug to see where)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_failing_cell_does_not_stop_the_others(fault: str, tmp_path: Path) -> None:
    breaking = corpus_of([*TEXTS, "BREAK", *TEXTS[:2]][: len(TEXTS) + 1], "breaking")
    models = [BrokenModel(fault), BigramModel()]
    result = run(models, [breaking, CORPUS], options=RunOptions(output=tmp_path))
    [failure] = result.failures
    assert (failure.model, failure.subject) == (f"broken-{fault}", "breaking")
    assert FAULTS[fault] in failure.reason
    assert "\n" not in failure.reason
    assert (result.num_scored, len(cell_files(tmp_path))) == (3, 3)
    before = snapshot(tmp_path)
    again = run(models, [breaking, CORPUS], options=RunOptions(output=tmp_path))
    assert (again.num_scored, again.failures) == (0, result.failures)
    assert snapshot(tmp_path).keys() == before.keys()
    assert unchanged(before, tmp_path)
    models[0] = BigramModel(f"broken-{fault}", weights_sha256="bigram 0")  # mended
    assert run(models, [breaking, CORPUS], options=RunOptions(output=tmp_path)).num_scored == 1


def test_debug_lets_the_error_through(tmp_path: Path) -> None:
    texts = corpus_of(["BREAK"])
    with pytest.raises(RuntimeError, match="has left"):
        run([BrokenModel("error")], [texts], options=RunOptions(output=tmp_path, debug=True))
    with pytest.raises(evalkit.ScoringError, match="finite numbers"):
        run([BrokenModel("nan")], [texts], options=RunOptions(output=tmp_path, debug=True))


def test_a_model_that_cannot_be_loaded_fails_in_each_of_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin"))
    result = run(["toy:cannot-load", "zstd"], [CORPUS, OTHER], options=RunOptions(output=tmp_path / "runs"))
    assert [(failure.model, failure.subject) for failure in result.failures] == [
        *(("toy:cannot-load", "corpus"), ("toy:cannot-load", "other"))
    ]
    assert result.failures[0].reason == (
        r"toy:cannot-load: loader 'toy' failed to load cannot-load: OSError('the disk\nis gone')"
    )
    assert result.num_scored == 2


def test_a_model_that_cannot_be_reached_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin"))
    texts = write_texts(tmp_path / "texts.json", TEXTS)
    models = "hf:owner/nothing,toy:cannot-identify,zstd,toy:bigram"
    command = ("run", "--models", models, "--corpora", texts, "--output", tmp_path / "runs")
    planned = run_cli(*command, "--dry-run")
    assert planned.exit_code == 0
    assert "hf:owner/nothing on texts: will fail: cannot reach the hub" in planned.stdout
    outcome = run_cli(*command)
    assert outcome.exit_code == 1
    assert "FAILED hf:owner/nothing on texts: cannot reach the hub for owner/nothing" in outcome.stdout
    assert "FAILED toy:cannot-identify on texts: toy:cannot-identify: loader 'toy' failed" in outcome.stdout
    assert {path.parent.name for path in cell_files(tmp_path / "runs")} == {"zstd", "toy-bigram"}
    refused = run_cli("run", "--models", f"{models},zstdd", "--corpora", texts, "--output", tmp_path / "no")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "unknown model 'zstdd'" in refused.stderr
    alone = run_cli("run", "--models", "hf:owner/nothing", "--corpora", texts, "--output", tmp_path / "no")
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert not (tmp_path / "no").exists()


def test_the_command_line_names_the_failure_twice_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin"))
    texts = write_texts(tmp_path / "texts.json", [*TEXTS, "BREAK"])
    outcome = run_cli(
        *("run", "--models", "toy:broken-error,toy:bigram", "--corpora", texts, "--output", tmp_path / "runs")
    )
    assert outcome.exit_code == 1
    line = "FAILED toy:broken-error on texts: RuntimeError: the device has left the building"
    assert [text for text in outcome.stderr.splitlines() if text.startswith(line)]
    assert [text for text in outcome.stdout.splitlines() if text.startswith(line)]
    [row] = [text for text in outcome.stdout.splitlines() if text.split()[:2] == ["–", "toy:broken-error"]]
    assert row.split()[2:4] == ["failed", "failed"]
    assert "Traceback" not in outcome.stderr
    assert len(cell_files(tmp_path / "runs")) == 1
    as_json = run_cli(
        *("run", "--models", "toy:broken-error,toy:bigram", "--corpora", texts),
        *("--output", tmp_path / "runs", "--json"),
    )
    assert as_json.exit_code == 1
    [failure] = json.loads(as_json.stdout)["failures"]
    assert failure["model"] == "toy:broken-error"
    command = ["run", "--models", "toy:broken-error", "--corpora", texts, "--output", tmp_path]
    debug = run_cli("--debug", *command)
    assert debug.exit_code == 1
    assert "Traceback" in debug.stderr
    last = debug.stderr.splitlines()[-1]
    assert last == "evalkit: unexpected RuntimeError: the device has left the building"


# --- bad requests, as a program makes them


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"models": []}, UsageError, "nothing to do"),
        ({"corpora": []}, UsageError, "nothing to do"),
        ({"limit": 0}, UsageError, "--limit 0 leaves no document"),
        ({"options": RunOptions(max_context=3)}, UsageError, "--max-context 3 is too small"),
        ({"policy": "documents"}, UsageError, "Did you mean document"),
        ({"models": ["xzz"]}, UsageError, "Did you mean xz"),
        ({"models": ["zstd", "zstd"]}, UsageError, "asked for twice: zstd"),
        (
            {"models": [BigramModel(details={"knowledge_cutoff": "around 2024"})]},
            ModelError,
            "'around 2024' is no date",
        ),
        ({"models": [object()]}, UsageError, "is neither a model's name nor an object"),
        ({"corpora": [CORPUS, CORPUS]}, UsageError, "two corpora of the name corpus"),
        ({"corpora": ["no-such"]}, UsageError, "unknown corpus 'no-such'"),
        ({"options": RunOptions(dtype="float99")}, UsageError, "unknown dtype 'float99'"),
        ({"options": RunOptions(device="tpu")}, UsageError, "unknown device 'tpu'"),
        ({"options": RunOptions(device="meta")}, UsageError, "device 'meta' is not supported"),
        ({"models": ["rwkv7:/no/such.pth"]}, ModelError, "there is no file or folder /no/such.pth"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_done(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(**{"models": ["zstd"], "corpora": [CORPUS]} | arguments)
    assert not RunOptions().folder.exists()


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(CorpusError, match="it has no documents"):
        corpus_of([])


# --- interrupted runs


SLOW_TEXTS = [*TEXTS[:3], BLOCK, *TEXTS[3:]]


class SlowRun:
    """A run of two cells, of the corpora `first` and `second`, that stops in the middle of the second."""

    def __init__(self, folder: Path, output: Path) -> None:
        stopped, in_child_stopped = os.pipe()
        in_child_resumed, resumed = os.pipe()
        handles = (in_child_stopped, in_child_resumed)
        self.process = subprocess.Popen(
            command_line(
                *("run", "--models", "toy:codec", "--output", output),
                *("--corpora", f"{folder / 'first.json'},{folder / 'second.json'}"),
            ),
            env=plugin_environment(folder / "plugin", TOY_PIPES=",".join(map(str, handles))),
            pass_fds=handles,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for handle in handles:
            os.close(handle)
        self._stopped, self._resumed = os.fdopen(stopped, "rb"), os.fdopen(resumed, "wb")

    def wait_until_stopped(self) -> None:
        """Returns in the middle of the second cell; fails if the process ends before."""
        assert self._stopped.read(1) == b".", self.finish()

    def resume(self) -> None:
        self._resumed.close()

    def finish(self) -> tuple[int, str, str]:
        """Lets it go on; exit code, standard output and standard error."""
        self.resume()
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        self._stopped.close()
        return self.process.returncode, stdout, stderr


StartRun = Callable[[Path], SlowRun]


@pytest.fixture
def slow_run(tmp_path: Path) -> StartRun:
    write_plugin(tmp_path / "plugin")
    write_texts(tmp_path / "first.json", TEXTS)
    write_texts(tmp_path / "second.json", SLOW_TEXTS)
    return functools.partial(SlowRun, tmp_path)


def test_kill_9_in_the_middle_and_run_again(slow_run: StartRun, tmp_path: Path) -> None:
    output = tmp_path / "runs"
    killed = slow_run(output)
    killed.wait_until_stopped()
    [cell] = cell_files(output)  # the first is finished, the second half done
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait(PATIENCE_S)  # the process that scores knows by then, and ends as well
    assert killed.finish()[0] == -signal.SIGKILL
    before = snapshot(output)
    code, stdout, stderr = slow_run(output).finish()
    assert code == 0, stderr
    assert "1 of 2 cells done, 1 to score" in stderr
    assert unchanged(before, output)
    assert cell in cell_files(output)
    whole = tmp_path / "uninterrupted"
    assert slow_run(whole).finish()[0] == 0
    assert numbers(output) == numbers(whole)
    assert len(numbers(whole)) == 2
    assert "toy:codec" in stdout


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_ctrl_c_and_its_like_keep_what_is_finished(
    slow_run: StartRun, tmp_path: Path, number: int, exit_code: int
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("what runs under nohup has SIGHUP ignored, and so have its processes")
    output = tmp_path / "runs"
    interrupted = slow_run(output)
    interrupted.wait_until_stopped()
    interrupted.process.send_signal(number)
    interrupted.process.wait(PATIENCE_S)
    code, stdout, stderr = interrupted.finish()
    assert code == exit_code
    assert stdout == ""
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("evalkit: interrupted; what is finished is kept")
    [cell] = cell_files(output)
    assert json.loads(cell.read_text())["corpus"]["name"] == "first"
    assert "1 of 2 cells done, 1 to score" in slow_run(output).finish()[2]


def test_two_runs_at_once_on_one_folder_end_well_and_agree(slow_run: StartRun, tmp_path: Path) -> None:
    output = tmp_path / "runs"
    first = slow_run(output)
    first.wait_until_stopped()  # in the middle of the second cell
    second = slow_run(output)
    assert second.process.stderr is not None
    lines = [second.process.stderr.readline() for _ in range(3)]
    assert "1 of 2 cells done, 1 to score" in lines[0]
    assert lines[2] == "another run is at work on the last 1 cells; waiting\n"
    outcomes = [slow.finish() for slow in (first, second)]
    assert [code for code, _, _ in outcomes] == [0, 0], outcomes
    tables = [stdout for _, stdout, _ in outcomes]
    assert tables[0] == tables[1]
    alone = tmp_path / "alone"
    assert slow_run(alone).finish()[0] == 0
    assert numbers(output) == numbers(alone)
    names = [path.suffix for path in output.rglob("*") if path.is_file()]
    assert sorted(names) == [".json", ".json", ".parquet", ".parquet"]


KILL_AT_CALL = """
import itertools, os, signal, sys
from pathlib import Path
import pyarrow.parquet, zstandard
import evalkit, evalkit.runner.corpora
texts, folder = sys.argv[1:]

def score_and_die_at(number):
    output = f"{folder}/killed-{number}"
    calls = itertools.count(1)

    def counted(real):
        def call(target, *arguments, **options):
            path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)
            # elsewhere a digest is remembered, once only and as soon as the texts are two seconds old
            if path.startswith(output) and next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(target, *arguments, **options)
        return call

    os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)
    Path.mkdir = counted(Path.mkdir)
    Path.write_text = counted(Path.write_text)
    result = evalkit.run(["zstd"], [texts], options=evalkit.RunOptions(output=output))
    assert not result.failures, result.failures

for number in itertools.count(1):  # a process for each, which has imported everything already
    if not (child := os.fork()):
        score_and_die_at(number)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(number, status, flush=True)
    if status != -signal.SIGKILL:
        break
"""


def test_a_crash_at_any_step_of_writing_leaves_a_whole_cell_or_none(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", TEXTS)
    assert run(["zstd"], [str(texts)], options=RunOptions(output=tmp_path / "whole")).num_scored == 1
    expected = numbers(tmp_path / "whole")
    done = subprocess.run(
        [sys.executable, "-c", KILL_AT_CALL, str(texts), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    *killed, last = (tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert last[1] == 0, done.stderr  # there is no such step any more
    num_kept = 0
    for number, status in killed:
        assert status == -signal.SIGKILL
        output = tmp_path / f"killed-{number}"
        before = cell_files(output)
        result = run(["zstd"], [str(texts)], options=RunOptions(output=output))
        assert (result.num_scored, result.failures) == (1 - len(before), ())
        assert numbers(output) == expected
        assert not list(output.rglob("*.damaged"))
        num_kept += len(before)
    assert last[0] > 8
    assert num_kept >= 1  # killed after the JSON took its place


def test_many_runs_of_one_process_on_one_folder_share_the_work(tmp_path: Path) -> None:
    barrier = threading.Barrier(6, timeout=PATIENCE_S)
    results: list[RunResult] = []
    coded: list[bytes] = []

    class Counts(SlowCodec):
        def code_length_bytes(self, data: bytes) -> int:
            coded.append(data)
            return super().code_length_bytes(data)

    def score() -> None:
        barrier.wait()
        results.append(run([Counts("counts")], [corpus_of(SLOW_TEXTS)], options=RunOptions(output=tmp_path)))

    threads = [threading.Thread(target=score) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.num_scored for result in results) == [0] * 5 + [1]
    assert sorted(coded) == sorted(text.encode() for text in SLOW_TEXTS)
    assert all(result.cells == results[0].cells for result in results)
    assert all(np.isfinite(result.cells[0].bits_per_byte) for result in results)
    assert len(cell_files(tmp_path)) == 1


# --- what a reader might miss


def test_names_that_share_a_folder_share_the_cell_under_their_own_names(tmp_path: Path) -> None:
    Path("evalkit.toml").write_text(
        "".join(f'[models."{name}"]\nloader = "codec"\ntarget = "xz"\n' for name in ("a/b", "a b"))
    )
    for _ in range(2):
        result = run(["a/b", "a b"], [CORPUS], options=RunOptions(output=tmp_path / "runs"))
        assert [ranked.model for ranked in result.ranking()] == ["a/b", "a b"]
        assert [len(ranked.cells) for ranked in result.ranking()] == [1, 1]
        assert not result.failures
    assert len(list((tmp_path / "runs").rglob("*.json"))) == 1


def test_documents_that_reading_leaves_out_are_told_of(tmp_path: Path) -> None:
    class Listener(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def message(self, text: str) -> None:
            self.lines.append(text)

    listener = Listener()
    path = write_texts(tmp_path / "some.json", ["one", "", "two", "one", ""])
    result = run(["xz"], [str(path)], options=RunOptions(output=tmp_path / "runs", reporter=listener))
    assert result.cells[0].corpus.num_documents == 2
    assert listener.lines == ["some: documents left out on reading: 2 empty, 1 exact duplicate"]
    listener.lines.clear()
    run(["xz"], ["python-stdlib"], options=RunOptions(output=tmp_path / "runs", reporter=listener), limit=1)
    assert not listener.lines
