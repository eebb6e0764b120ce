import csv
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evalkit.cells.files import content_sha256
from evalkit.cells.probe_schema import label_of_test
from evalkit.errors import EvalkitError, ScoringError, UsageError
from evalkit.files import strict_json
from evalkit_tasks.cli import app
from evalkit_tasks.training import runner
from evalkit_tasks.training.cells import read_cells, read_items
from evalkit_tasks.training.experiments import group_experiments
from evalkit_tasks.training.networks.architectures import ARCHITECTURES
from evalkit_tasks.training.published import compare, published
from evalkit_tasks.training.spec import check_spec
from evalkit_tasks.training.suites import SMALL_TASKS, quick_claims, suite_specs
from evalkit_tasks.training.tasks.catalog import task_names

FAST = {
    "--steps": 3,
    "--train-length": 8,
    "--batch-size": 4,
    "--width": 16,
    "--items": 8,
    "--jobs": 1,
}


def words(options):
    return [str(word) for pair in options.items() for word in pair]


def probe(*arguments, exit_code=0):
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, EvalkitError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result


def trained(tmp_path, *arguments):
    return probe("train", "--output", str(tmp_path), *words(FAST), *arguments)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_makes_a_cell_for_each_layer_and_seed_and_nothing_twice(tmp_path):
    sweep = ("--task", "parity,s3", "--model", "lstm", "--layers", "1,2", "--seeds", "2")
    first = trained(tmp_path, *sweep)
    assert "0 of 8 cells done, 8 to train" in first.stderr
    cells = read_cells(tmp_path)
    assert len(cells) == 8
    assert {(cell.spec.task, cell.spec.num_layers, cell.spec.seed) for cell in cells} == {
        (task, layers, seed) for task in ("parity", "s3") for layers in (1, 2) for seed in (0, 1)
    }
    before = files(tmp_path)
    second = trained(tmp_path, *sweep)
    assert "8 of 8 cells done, 0 to train" in second.stderr
    assert files(tmp_path) == before
    assert not list(tmp_path.rglob("*.partial"))


def test_a_cell_holds_what_was_measured_and_its_items_agree(tmp_path):
    trained(tmp_path, "--task", "parity", "--model", "lstm", "--test-range", "9-20")
    (cell,) = read_cells(tmp_path)
    assert list(cell.tests_by_length()) == ["8", "9-20", "16", "32", "64", "128"]
    for name, items in read_items(cell).items():
        test = cell.tests[name]
        assert test.num_items == len(items.num_scored) == 8
        assert test.token_accuracy == items.num_correct.sum() / items.num_scored.sum()
        assert test.sequence_accuracy == (items.num_correct == items.num_scored).mean()
        assert (items.first_error == 0).mean() == test.sequence_accuracy
        assert test.shortest <= items.num_letters.min() <= items.num_letters.max() <= test.longest
    assert cell.environment.torch.num_threads == 1
    assert cell.training.training_cpu_s > 0


def test_a_tasks_own_tests_count_labels_and_are_no_points_on_a_curve(tmp_path):
    options = {**FAST, "--train-length": 56, "--items": 16}
    tasks = ("--task", "flip-flop,code-trace:s3", "--model", "lstm")
    printed = probe("train", "--output", str(tmp_path), *words(options), *tasks).stdout
    trace, flips = sorted(read_cells(tmp_path), key=lambda cell: cell.spec.task)
    assert (flips.spec.min_train_length, trace.spec.min_train_length) == (56, 50)  # as the protocols say
    assert {name for name in flips.tests if " " in name} == {"56 sparse", "56 dense"}
    sparse = flips.tests["56 sparse"]
    headline = flips.headline("56 sparse")
    assert headline.accuracy == sparse.token_accuracy and headline.majority == sparse.majority_label_accuracy
    assert 0.4 < sparse.majority_label_accuracy < 0.8 and label_of_test("56 sparse") == "56 sparse, labels"
    [experiment, _] = group_experiments([flips, trace])
    assert experiment.length_tests == ["56", "112", "224", "448", "896"]
    assert "labels, other strings" in printed
    row = next(line for line in printed.splitlines() if line.startswith("flip-flop"))
    assert f"56 sparse: {'~' if headline.is_at_majority else ''}{headline.accuracy:.2f}" in row
    # Of a code trace a third is chance among three values, whatever else the network predicts.
    assert (trace.task.num_labels, trace.task.num_letters) == (3, 16)
    assert (trace.task.version, flips.task.version) == (None, 2)
    old = replace(flips, task=replace(flips.task, version=None), spec=replace(flips.spec, seed=1))
    assert len(group_experiments([flips, old])) == 2  # the same options, and other strings
    test = trace.tests["56"]
    assert test.shortest == test.longest == 50
    assert test.scaled_token_accuracy == pytest.approx((test.token_accuracy - 1 / 3) / (2 / 3))
    assert trace.training.last_loss_nats > 2  # of next tokens: log 16 in the beginning


@pytest.mark.parametrize(
    ("task", "labels", "has_first_errors"),
    [("parity", "every", True), ("parity", "last", False), ("modular-arithmetic-brackets", "every", False)],
)
def test_no_letter_is_the_first_that_goes_wrong_where_only_the_end_is_asked_about(
    task, labels, has_first_errors, tmp_path
):
    printed = trained(tmp_path, "--task", task, "--model", "lstm", "--labels", labels).stdout
    [cell] = read_cells(tmp_path)
    assert (cell.l90 is not None) == has_first_errors
    assert all((test.first_error_median is not None) == has_first_errors for test in cell.tests.values())
    row = next(line for line in printed.splitlines() if line.lstrip().startswith(task))
    assert ("–" in row) != has_first_errors


def test_a_damaged_cell_is_moved_aside_and_trained_again(tmp_path):
    arguments = ("--task", "parity", "--model", "lstm")
    trained(tmp_path, *arguments)
    (cell,) = read_cells(tmp_path)
    content = json.loads(cell.path.read_text())
    content["tests"]["8"]["sequence_accuracy"] = 1.0
    cell.path.write_text(json.dumps(content))
    with pytest.raises(ScoringError, match="was changed after it was written; move it away and train it"):
        read_cells(tmp_path)
    again = trained(tmp_path, *arguments)
    assert "was changed after it was written; it was moved to" in again.stderr
    assert read_cells(tmp_path)[0].tests == cell.tests
    assert len(list(tmp_path.rglob("*.damaged"))) == 2


def _other_accuracy(content):
    content["tests"]["8"]["sequence_accuracy"] = 0.987654


def _other_seed(content):
    content["spec"]["seed"] = 7


def _other_trainer(content):
    content["trainer_version"] += 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_other_accuracy, "is no cell: tests.8.sequence_accuracy is 0.987654, its rows give "),
        (_other_seed, "is no cell: its seed is 7, its key says 0"),
        (_other_trainer, "is no cell: its trainer is "),
    ],
)
def test_a_cell_that_contradicts_its_rows_or_its_key_is_trained_again(tmp_path, change, says):
    """With digests that fit: another program's work, or somebody's hand."""
    arguments = ("--task", "parity", "--model", "lstm")
    trained(tmp_path, *arguments)
    (cell,) = read_cells(tmp_path)
    content = json.loads(cell.path.read_text())
    change(content)
    content["sha256"] = content_sha256(content)
    cell.path.write_text(strict_json(content))
    again = trained(tmp_path, *arguments)
    assert says in again.stderr and "; it was moved to" in again.stderr
    assert read_cells(tmp_path)[0].tests == cell.tests
    assert len(list(tmp_path.rglob("*.damaged"))) == 2


def test_the_table_finds_by_itself_what_was_trained():
    probe("train", "--task", "parity", "--model", "lstm", *words(FAST))
    assert "parity  lstm" in probe("table").stdout


@pytest.mark.parametrize("damage", [b'{"kind": "trained-pro', b"\xff\xfe", b"[]", b"{}"])
def test_the_table_names_a_damaged_cell(tmp_path, damage):
    trained(tmp_path, "--task", "parity", "--model", "lstm")
    (cell,) = read_cells(tmp_path)
    cell.path.write_bytes(damage)
    with pytest.raises(ScoringError, match=rf"{cell.path.name} is not .*; move it away and train it again"):
        probe("table", str(tmp_path))
    arguments = ("--task", "parity", "--model", "lstm", "--output", str(tmp_path))
    plan = probe("train", *arguments, *words(FAST), "--dry-run").stdout
    assert "it will be moved aside and trained again\n0 of 1 cells done, 1 to train" in plan
    assert cell.path.read_bytes() == damage


def test_what_a_run_left_behind_is_taken_away(tmp_path):
    arguments = ("--task", "parity", "--model", "lstm")
    trained(tmp_path, *arguments)
    (cell,) = read_cells(tmp_path)
    partial = cell.path.with_suffix(".partial")
    partial.mkdir()
    (partial / "checkpoint.pt").write_bytes(b"of a run that ended when its cell was written")
    trained(tmp_path, *arguments)
    assert not partial.exists()
    assert read_cells(tmp_path) == [cell]


def test_numbers_of_layers_are_compared_as_numbers_and_braces_keep_their_commas(tmp_path):
    task = "parity,regex:(a|b){2,30}b"
    result = trained(tmp_path, "--task", task, "--model", "lstm", "--layers", "1,01")
    assert "0 of 2 cells done, 2 to train" in result.stderr
    assert {cell.spec.task for cell in read_cells(tmp_path)} == {"parity", "regex:(a|b){2,30}b"}


def without_parity(cell):
    """Make of a cell what it would have been before it held the parities."""
    content = json.loads(cell.path.read_text())
    for metrics in content["tests"].values():
        for name in [name for name in metrics if name.startswith("parity_accuracy")]:
            del metrics[name]
    content["sha256"] = content_sha256(content)
    cell.path.write_text(strict_json(content))


def test_the_table_shows_parities_where_cells_have_them(tmp_path):
    first = trained(tmp_path, "--task", "s3,parity", "--model", "lstm", "--seeds", "2")
    title = "share of right labels, and of labels of the right parity, each seed"
    assert title in first.stdout
    cells = read_cells(tmp_path)
    for cell in cells:
        for metrics in cell.tests.values():
            low, value, high = (metrics.metric(f"parity_accuracy{bound}") for bound in ("_low", "", "_high"))
            if cell.spec.task == "parity":
                assert (low, value, high) == (None, None, None)
            else:
                assert low < value < high and metrics.token_accuracy <= value
    assert title in probe("table", str(tmp_path)).stdout
    for cell in cells:
        without_parity(cell)
    old = probe("table", str(tmp_path), "--curves", str(tmp_path / "old.csv"))
    assert title not in old.stdout
    assert "parity_accuracy" not in (tmp_path / "old.csv").read_text()


MORTAL = """
import os, signal
import evalkit_tasks.training.runner as runner
from evalkit_tasks.cli import app

run_specs = runner.run_specs

def run_until_killed(specs, checkpoint, **options):
    def kill(step, loss):
        if step == 40:
            os.kill(os.getpid(), signal.SIGKILL)
    return run_specs(specs, checkpoint, **(options | {"checkpoint_every_s": 0, "on_step": kill}))

runner.run_specs = run_until_killed
app()
"""


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    options = ("--task", "parity", "--model", "gru", *words({**FAST, "--steps": 60}))
    probe("train", *options, "--output", "whole")
    arguments = ["train", *options, "--output", "killed"]
    process = subprocess.run([sys.executable, "-c", MORTAL, *arguments], check=False)
    assert process.returncode == -signal.SIGKILL
    assert not read_cells(Path("killed"))
    assert len(list(Path("killed").rglob("checkpoint.pt"))) == 1
    resumed_steps = []
    real = runner.run_specs

    def run_specs(specs, checkpoint, **options):
        return real(specs, checkpoint, **options | {"on_step": lambda step, loss: resumed_steps.append(step)})

    monkeypatch.setattr(runner, "run_specs", run_specs)
    probe("train", *options, "--output", "killed")
    assert resumed_steps == list(range(41, 61))
    (whole,), (killed,) = read_cells(Path("whole")), read_cells(Path("killed"))
    assert killed.tests == whole.tests
    assert killed.training.history == whole.training.history
    assert killed.path.name == whole.path.name
    assert not list(Path("killed").rglob("*.partial"))


def test_processes_give_what_one_process_gives(tmp_path):
    sweep = ("--task", "parity", "--model", "lstm", "--seeds", "2")
    trained(tmp_path / "one", *sweep)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    code = "from evalkit_tasks.cli import app; app()"
    arguments = ["train", "--output", str(tmp_path / "two"), *words({**FAST, "--jobs": 2}), *sweep]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, env=environment)
    alone, side_by_side = (read_cells(tmp_path / name) for name in ("one", "two"))
    assert [cell.tests for cell in alone] == [cell.tests for cell in side_by_side]
    assert len(alone) == 2


def test_the_fewest_layers_are_looked_for_and_seeds_trained_together_keep_cells_of_their_own(tmp_path):
    arguments = ("--task", "parity", "--model", "retnet", "--seeds", "2", "--stop-accuracy", "0.9")
    arguments += ("--learning-rate", "1e-3,1e-2", "--bisect-layers", "2", "--steps", "6")
    planned = trained(tmp_path, *arguments, "--dry-run").stdout
    assert planned.startswith("with 1 layer, where the search begins;") and "2 to train" in planned
    result = trained(tmp_path, *arguments)
    assert "fewest layers at which the median seed reaches 0.9 at the training length T" in result.stdout
    assert result.stdout.rstrip().endswith("more than 2")
    cells = read_cells(tmp_path)
    assert {(cell.spec.num_layers, cell.spec.seed) for cell in cells} == {
        (n, seed) for n in (1, 2) for seed in (0, 1)
    }
    for cell in cells:
        assert cell.spec.learning_rate is None and cell.spec.learning_rates == (1e-3, 1e-2)
        rates = [rate for rate, *_ in cell.training.tried]
        assert rates == [1e-3, 1e-2] and cell.training.learning_rate in rates
        assert [step for step, *_ in cell.training.validation] == [6]
    assert not list(tmp_path.rglob("*.partial"))
    before = files(tmp_path)
    assert "2 of 2 cells done, 0 to train" in trained(tmp_path, *arguments).stderr
    assert files(tmp_path) == before
    seed = min(cells, key=lambda cell: (cell.spec.num_layers, cell.spec.seed))
    seed.path.unlink()
    assert "1 of 2 cells done, 1 to train" in trained(tmp_path, *arguments).stderr
    assert read_cells(tmp_path)[0].spec.task == "parity" and files(tmp_path).keys() == before.keys()


def test_a_failing_cell_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    real = runner.run_specs

    def run_specs(specs, *arguments, **options):
        if specs[0].seed == 0:
            raise RuntimeError("the norm of the gradient is not finite\nand more")
        return real(specs, *arguments, **options)

    monkeypatch.setattr(runner, "run_specs", run_specs)
    arguments = ("--task", "parity", "--model", "lstm", "--seeds", "2")
    result = probe("train", "--output", str(tmp_path), *words(FAST), *arguments, exit_code=1)
    expected = "FAILED parity, lstm, 1 layers, seed 0: RuntimeError: the norm of the gradient is not finite\n"
    assert expected in result.stdout
    assert [cell.spec.seed for cell in read_cells(tmp_path)] == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--task parity", "give --task and --model, or --suite quick"),
        ("--task partiy --model lstm", "unknown task 'partiy'"),
        ("--task parity --model lsmt", "unknown model 'lsmt'. Did you mean lstm"),
        ("--task parity --model lstm --layers 1,x", "--layers x: give whole numbers"),
        ("--task parity --model lstm --learning-rate 1e-3,x", "--learning-rate x is no number"),
        (
            "--task parity --model lstm --learning-rate 1e-3,0.001",
            "--learning-rate names a learning rate twice",
        ),
        (
            "--task parity --model lstm --layers 1 --bisect-layers 4",
            "--bisect-layers finds the numbers of layers",
        ),
        ("--task parity --model lstm --test-range 40", "--test-range 40: give two lengths"),
        ("--suite quik", "unknown suite 'quik'. Did you mean quick?"),
        ("--suite tracking --task parrity", "unknown task 'parrity'. Did you mean parity"),
        ("--suite tracking --model xlstm", "unknown model 'xlstm'. Did you mean"),
        ("--suite tracking --seeds 99", "--seeds 99: the suite tracking has 3"),
        (f"--task parity --model lstm --layers {'9' * 5000}", "give whole numbers"),
        (f"--task parity --model lstm --test-range 1-{'9' * 5000}", "give two lengths"),
        ("--suite quick --steps 5", "--suite quick says itself what to train; leave out --steps"),
        ("--task , --model lstm", "--task names nothing"),
        ("--task regex:a{1,2 --model lstm", "is not a regular expression"),
        ("--task parity --model lstm --budget-s inf", "--budget-s must be more than 0 and finite"),
        ("--task parity --model lstm --output /dev/null", "cannot write to the output folder /dev/null"),
    ],
)
def test_a_bad_request_is_a_line_and_trains_nothing(tmp_path, arguments, message):
    with pytest.raises(UsageError) as caught:
        probe("train", "--output", str(tmp_path / "runs"), *arguments.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_every_cell_of_a_suite_can_be_trained():
    for suite in ("quick", "tracking", "tracking-small", "paper"):
        specs = suite_specs(suite)
        assert len({spec.key() for spec in specs}) == len(specs)
        tasks = {(s.task, s.labels, s.train_length): s for s in specs}
        networks = {(s.model, s.negative_eigenvalues): s for s in specs}
        for spec in {*tasks.values(), *networks.values()}:
            check_spec(spec)


def test_the_small_suite_goes_task_by_task_over_the_networks_that_theory_speaks_of_and_then_over_the_others():
    specs = suite_specs("tracking-small")
    names = list(dict.fromkeys((s.task, s.model, s.negative_eigenvalues) for s in specs))
    assert len(specs) == 3 * len(names) and set(names) == {
        (task, model, eigenvalues)
        for task in SMALL_TASKS
        for model, architecture in ARCHITECTURES.items()
        for eigenvalues in architecture.eigenvalues
    }
    assert [task for task, *_ in names[:88]] == [task for task in SMALL_TASKS for _ in range(8)]
    assert names[:2] == [("parity", "rwkv7", "full"), ("parity", "rwkv7", "off")]
    assert names[:8] == [("parity", model, eigenvalues) for _, model, eigenvalues in names[80:88]]


def test_a_claim_needs_every_seed(tmp_path):
    claim = quick_claims()[0]
    assert claim.holds({0: 1.0, 1: 1.0, 2: 0.995})
    assert not claim.holds({0: 1.0, 1: 1.0})
    assert not claim.holds({0: 1.0, 1: 1.0, 2: 0.98})


def test_a_part_of_a_suite_has_the_cells_of_the_whole(tmp_path):
    part = ("--task", "s3,z60", "--model", "rwkv7,gru", "--seeds", "2")
    lines = probe("train", "--suite", "tracking", *part, "--dry-run", "--output", str(tmp_path)).stdout
    # Two tasks with c = 1, 1.5452 and 2, and a GRU.
    assert lines.splitlines()[0] == "0 of 16 cells done, 16 to train"
    assert [line.split(":")[0].strip() for line in lines.splitlines()[1:-1]] == [
        f"{task}, {model}"
        for task in ("s3", "z60")
        for model in ("rwkv7 c=1", "rwkv7 c=1.5452", "rwkv7 c=2", "gru")
    ]


def test_the_dry_run_says_what_a_suite_costs(tmp_path):
    result = probe("train", "--task", "parity", "--model", "lstm", "--dry-run", "--output", str(tmp_path))
    # 1000 steps of 64 strings of 20 letters in the mean and a start token; 4 x 64 + 2 x (4 x 64 x 64 + 256)
    # + 64 x 2 + 2 parameters.
    tokens = 1000 * 64 * 21
    assert result.stdout == (
        "0 of 1 cells done, 1 to train\n"
        f"  parity, lstm: 1 cells, {tokens / 1e6:,.1f} M tokens, {6 * 33666 * tokens / 1e12:,.2f} TFLOP\n"
        f"  training in all: {tokens / 1e6:,.1f} M tokens, {6 * 33666 * tokens / 1e12:,.2f} TFLOP\n"
    )
    assert not list(tmp_path.iterdir())


def test_the_table_puts_ours_beside_the_published(tmp_path):
    arguments = ("--task", "parity", "--model", "lstm", "--layers", "1,2", "--seeds", "2")
    probe("train", "--output", str(tmp_path), *words(FAST), *arguments, "--test-range", "40-256")
    cells = read_cells(tmp_path)
    comparisons = [comparison for comparison in compare(group_experiments(cells)) if comparison.ours]
    assert [(c.task, c.model, c.source, c.value, c.ours_setting) for c in comparisons] == [
        ("parity", "lstm", "pd-ssm", 100.0, f"{layers}, every label, 3 steps")
        for layers in ("1 layer", "2 layers")
    ]
    for num_layers, comparison in enumerate(comparisons, start=1):
        expected = [
            100 * cell.tests["40-256"].last_position_accuracy
            for cell in sorted(cells, key=lambda cell: cell.spec.seed)
            if cell.spec.num_layers == num_layers
        ]
        assert list(comparison.ours) == expected
    printed = probe("table", str(tmp_path)).stdout
    assert "https://arxiv.org/abs/2509.22284" in printed
    assert "51.1 ± 0.3" in printed
    assert "1 layer, every label, 3 steps (another protocol)" in printed
    assert "fewest layers" in printed
    document = json.loads(probe("table", str(tmp_path), "--json").stdout)
    assert len(document["curves"]) == 4 * 6
    assert {row["layers_tried"] for row in document["min_layers"]} == {"1 2"}


def test_plot_data_are_csv(tmp_path):
    trained(tmp_path, "--task", "parity", "--model", "lstm", "--seeds", "2", "--layers", "1,2")
    curves, layers_path = tmp_path / "curves.csv", tmp_path / "layers.csv"
    probe("table", str(tmp_path), "--curves", str(curves), "--min-layers", str(layers_path))
    with curves.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["layers"], row["seed"], row["longest"]) for row in rows] == [
        (layers, seed, str(8 * multiple)) for layers in "12" for seed in "01" for multiple in (1, 2, 4, 8, 16)
    ]
    assert all(
        0 <= float(row["sequence_accuracy_low"]) <= float(row["sequence_accuracy"]) <= 1 for row in rows
    )
    with layers_path.open() as file:
        assert [(row["layers_tried"], row["min_layers_0.99"]) for row in csv.DictReader(file)] == [
            ("1 2", "")
        ] * 5


def test_of_one_number_of_layers_none_is_the_fewest(tmp_path):
    trained(tmp_path, "--task", "parity", "--model", "lstm")
    path = tmp_path / "layers.csv"
    with pytest.raises(UsageError, match=r"several numbers of layers and otherwise alike; .*--layers 1,2,4"):
        probe("table", str(tmp_path), "--min-layers", str(path))
    assert not path.exists()


def test_cells_of_different_ages_make_one_csv(tmp_path):
    trained(tmp_path, "--task", "s3", "--model", "lstm", "--seeds", "2")
    old, new = sorted(read_cells(tmp_path), key=lambda cell: cell.spec.seed)
    without_parity(old)
    curves = tmp_path / "curves.csv"
    printed = probe("table", str(tmp_path), "--curves", str(curves)).stdout
    with curves.open() as file:
        rows = [(row["seed"], row["test"], row["parity_accuracy"]) for row in csv.DictReader(file)]
    tests = list(new.tests_by_length())
    assert rows[:5] == [("0", test, "") for test in tests]
    assert rows[5:] == [("1", test, str(new.tests[test].metric("parity_accuracy"))) for test in tests]
    last = new.tests[tests[-1]]
    shown = f"{tests[-1]} {last.token_accuracy:.2f} {last.metric('parity_accuracy'):.2f}"
    assert shown in [" ".join(line.split()) for line in printed.splitlines()]


def test_an_empty_folder_is_told_what_to_do(tmp_path):
    assert "evalkit probe train --suite quick" in probe("table", str(tmp_path)).stdout
    with pytest.raises(UsageError, match=r"no trained probe in .*; evalkit probe train --suite quick"):
        probe("table", str(tmp_path), "--curves", str(tmp_path / "curves.csv"))
    assert not list(tmp_path.iterdir())


def test_published_numbers_name_known_tasks_and_sources():
    numbers = published()
    assert len(numbers.rows) == 25
    for source in numbers.sources.values():
        assert source.url.startswith("https://arxiv.org/abs/")
    for row in numbers.rows:
        assert row.source in numbers.sources
        assert set(row.results) <= set(task_names())
        assert row.eigenvalues is None or row.model in ARCHITECTURES


def test_the_help_lists_every_task_and_network():
    help_words = set(re.findall(r"[a-z0-9-]+", probe("train", "--help").stdout))
    assert set(ARCHITECTURES) <= help_words
    assert set(task_names()) <= set(re.findall(r"[a-z0-9-]+", probe("list").stdout))
