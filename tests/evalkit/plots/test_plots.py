"""Every plot says what the cells say, and is the same file every time."""

import dataclasses
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from evalkit import plots
from evalkit.analysis.effective_cutoff import effective_cutoff, month_points
from evalkit.analysis.positions import position_curve
from evalkit.analysis.results import Results, read_results
from evalkit.corpora.context_gain import cut_contexts
from evalkit.corpora.store import make_corpus, save_corpus
from evalkit.errors import UsageError
from evalkit.plots.frame import BLUE, GREY, RED, frame, ink
from evalkit.plots.labels import spread
from evalkit.plots.panels import time_axis
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.cells import probe_content, task_content, write_cell_files
from tests.support.dated import World, dated_results
from tests.support.stores import Counted, _documents, write_synthetic_store
from tests.support.toys import ROOT, BigramModel, corpus_of, run_cli
from tests.support.training_runs import corpus_of_lengths, write_checkpoint

PNG, SVG = b"\x89PNG\r\n\x1a\n", b"<?xml"


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models, two months of five sources."""
    folder = tmp_path_factory.mktemp("months")
    write_synthetic_store(folder, num_models=6, num_corpora=10, num_documents=40)
    return folder


@pytest.fixture(scope="module")
def dated() -> Results:
    """Models of which one has read until a day, on nine months."""
    world = World(num_months=9, documents_per_month=25, step=0.1, num_panel=1)
    return dated_results(world, dt.date(2023, 5, 20), seed=5)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells with the bits of tokens, on documents of 1,200 to 3,000 bytes."""
    folder = tmp_path_factory.mktemp("tokens")
    texts = [document.text * 3 for document in _documents(5, 12, source="toy")]
    models = [
        Counted("bytes-1b", "the of and text 12\n" * 9, 1, num_parameters=10**9, knowledge_cutoff="2026-02"),
        Counted("pairs-2b", "bits and bytes of text", 2, num_parameters=2 * 10**9, released="2025-12-31"),
    ]
    done = run(
        [*models, "xz"],
        [corpus_of(texts, "long", date="2026-03-02")],
        options=RunOptions(output=folder),
        token_bits=True,
    )
    assert not done.failures
    return folder


@pytest.fixture
def stored(tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with the texts in the store."""
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
    texts = [document.text * 3 for document in _documents(5, 12, source="toy")]
    save_corpus(corpus_of(texts, "long", date="2026-03-02"))
    return tokens


@pytest.fixture(scope="module")
def gains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ends of documents behind contexts of three lengths."""
    folder = tmp_path_factory.mktemp("gains")
    texts = [f"{number} of many texts. " * 70 for number in range(6)]
    cut = cut_contexts(corpus_of(texts, "long", date="2026-03-02"), [0, 64])
    run([BigramModel()], cut, options=RunOptions(output=folder))
    return folder


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    corpus = corpus_of_lengths(np.arange(100, 900, 80))
    for run_name, gap in (("a", 0.0), ("b", 0.1)):
        for step in (1, 2, 4, 8, 16, 32):
            bits = np.arange(100, 900, 80) * (1.0 + step**-0.5 + gap)
            write_checkpoint(folder, run_name, step, corpus, bits)
    return folder


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probes")
    for layers, reach in ((1, 0.5), (2, 0.93)):
        for seed, shift in enumerate((-0.1, 0.0, 0.05)):
            accuracies = {32: 1.0, 64: reach + shift, 128: 0.2}
            for task, model in (("parity", "rwkv7"), ("s3", "rwkv7"), ("s3", "lstm")):
                cell = probe_content(task, model, num_layers=layers, seed=seed, accuracies=accuracies)
                write_cell_files(folder / task / f"{model}-{layers}-{seed}.json", cell)
    write_cell_files(folder / "asked.json", task_content())
    return folder


def lines_of(figure: Any) -> dict[str, list[float]]:
    """The y values of each line that has markers, by its colour."""
    return {
        f"{number} {line.get_color()}": list(line.get_ydata())
        for number, axes in enumerate(figure.axes)
        for line in axes.lines
        if line.get_marker() not in ("", "None")
    }


def texts_of(figure: Any) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts] + [
        t.get_text() for t in figure.texts
    ]
    found += [axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes]
    return "\n".join(found)


DRAWN: dict[str, tuple[str, dict[str, Any]]] = {
    "parameters": ("months", {}),
    "heatmap": ("months", {}),
    "differences": ("months", {"reference": "model-02", "aggregate": "geometric"}),
    "cutoffs": ("dated", {}),
    "ranks": ("months", {}),
    "months": ("months", {}),
    "positions": ("tokens", {}),
    "losses": ("stored", {}),
    "context-gain": ("gains", {}),
    "curve": ("training", {"axis": "tokens", "tokens_per_step": 64}),
    "dates": ("tokens", {"reference": "xz"}),
    "speed": ("tokens", {}),
    "probe-lengths": ("probes", {}),
    "min-layers": ("probes", {}),
    "probe-heatmap": ("probes", {}),
    "heuristic-gain": ("probes", {}),
}


@pytest.mark.parametrize("name", plots.find_plots().plots)
def test_every_plot_is_the_same_file_twice(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fixture, options = DRAWN[name]
    results = request.getfixturevalue(fixture)
    for attempt in ("first", "second"):
        figure = plots.draw(name, results, **options)
        for suffix in ("svg", "png"):
            plots.save(figure, tmp_path / f"{attempt}.{suffix}")
    for suffix, start in (("svg", SVG), ("png", PNG)):
        written = (tmp_path / f"first.{suffix}").read_bytes()
        assert written.startswith(start)
        assert written == (tmp_path / f"second.{suffix}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "first.svg").read_bytes()
    text = texts_of(figure)
    assert "better" in text or "best" in text
    assert all(axes.get_xlabel() or "heatmap" in name or axes is not figure.axes[-1] for axes in figure.axes)


def test_a_language_model_of_unknown_size_is_told_of_and_no_compressor(tmp_path: Path) -> None:
    corpus = corpus_of(["bits of the text", "and of bytes"], "short", date="2026-03-02")
    sized, unsized = (
        Counted("sized", "the of and", 1, num_parameters=256),
        Counted("unsized", "bits of text", 2),
    )
    run([sized, unsized, "xz"], [corpus], options=RunOptions(output=tmp_path))
    lines: list[str] = []
    figure = plots.parameters(tmp_path, warn=lines.append)
    assert lines == ["unsized: how many parameters it has is not known; not drawn"]
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert any(text.startswith("xz ↑") for text in texts) and "unsized" not in texts


def test_cutoffs_shows_the_months_and_the_day(dated: Results) -> None:
    figure = plots.cutoffs(dated, models=["subject"])
    [axes] = figure.axes
    cutoff = effective_cutoff(dated, "subject", catalog={})
    assert cutoff.day is not None and cutoff.rise is not None
    points, *_ = axes.lines
    assert points.get_ydata() == pytest.approx([100 * (p.ratio.value - 1) for p in month_points(cutoff, 0)])
    assert str(cutoff.day) in axes.get_title(loc="left")
    assert any(list(line.get_xdata()) == [cutoff.day.toordinal()] * 2 for line in axes.lines)
    [band] = axes.patches
    assert band.get_x() == cutoff.rise.low  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="enough months"):
        plots.cutoffs(dataclasses.replace(dated, corpora=dated.corpora[:3]))


def test_parameters_shows_levels_and_the_frontier(months: Path) -> None:
    figure = plots.parameters(months)
    store = read_results(months, warn=lambda _: None)
    means = [
        float(np.mean([np.sum(c.bits[:, one]) / np.sum(c.num_bytes) for c in store.corpora]))
        for one in range(6)
    ]
    shown = sorted(y for line in figure.axes[0].lines if line.get_marker() == "o" for y in line.get_ydata())
    assert shown == pytest.approx(sorted(means), abs=1e-6)
    # Sizes rise with the models' numbers, so the frontier is the running minimum of the means.
    [stairs] = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert sorted(set(stairs.get_ydata()), reverse=True) == pytest.approx(
        sorted(set(np.minimum.accumulate(means)), reverse=True), abs=1e-6
    )
    assert figure.axes[0].get_xscale() == "log"


def test_heatmap_is_relative_to_the_row_mean(months: Path) -> None:
    figure = plots.heatmap(months)
    relative = np.asarray(figure.axes[0].collections[0].get_array()).reshape(10, 6)
    assert np.abs(relative.mean(axis=1)).max() < 1e-9
    assert (np.diff(relative.mean(axis=0)) >= 0).all()


def test_differences_calls_ties_ties(tmp_path: Path) -> None:
    twins = [Counted(name, "the of and text 12\n" * 9, 1) for name in ("one", "other")]
    run(
        [*twins, "xz"],
        [corpus_of([d.text for d in _documents(3, 9, source="toy")], "c")],
        options=RunOptions(output=tmp_path),
        token_bits=True,
    )
    text = texts_of(plots.differences(tmp_path, reference="one"))
    assert "tie: +0.000 [+0.000, +0.000]" in text
    assert text.count("tie") == 2  # the other is in the heading


def test_ranks_of_the_months_are_those_of_each_source(months: Path) -> None:
    figure = plots.ranks(months)
    store = read_results(months, warn=lambda _: None)
    assert len(figure.axes) == 5
    for axes in figure.axes:
        levels = [
            corpus.bits.sum(axis=0) / corpus.num_bytes.sum()
            for corpus in store.corpora
            if corpus.label.startswith(f"{axes.get_title(loc='left')}-")
        ]
        assert len(levels) == 2
        expected = {tuple(int((month < month[one]).sum()) + 1 for month in levels) for one in range(6)}
        lines = [line for line in axes.lines if line.get_marker() not in ("", "None")]
        assert {tuple(int(y) for y in line.get_ydata()) for line in lines} == expected
        # Half of January to half of February: the middles are 31 days apart.
        assert all(np.diff(line.get_xdata()).tolist() == [31] for line in lines)


def dated_corpora(folder: Path, corpora: Sequence[tuple[str, str, str]]) -> Path:
    """Cells of two models and a compressor on corpora, each with a name, a source and a day."""
    made = []
    for seed, (name, origin, day) in enumerate(corpora):
        made.append(make_corpus(name, _documents(seed, 12, source=origin, published_at=day)))
    models = [
        Counted("bytes", "the of and text 12\n" * 9, 1, num_parameters=256, released="2026-01-31"),
        Counted("pairs", "bits and bytes of text", 2, num_parameters=512, released="2026-01-31"),
    ]
    assert not run([*models, "xz"], made, options=RunOptions(output=folder)).failures
    return folder


IN_TURN = [
    ("a", "wikipedia", "2026-02-02"),
    ("b", "github", "2026-03-02"),
    ("c", "wikipedia", "2026-07-02"),
    ("d", "github", "2026-08-12"),
    ("e", "news", "2026-04-02"),
]


@pytest.mark.parametrize("name", ["months", "ranks", "dates"])
def test_no_line_leads_from_one_source_to_another(name: str, tmp_path: Path) -> None:
    """And the distance of its points is that of their days."""
    warnings: list[str] = []
    figure = plots.draw(name, dated_corpora(tmp_path, IN_TURN), warn=warnings.append)
    spans: dict[str, set[tuple[float, ...]]] = {}
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_marker() not in ("", "None") and len(line.get_xdata()) > 1:
                days = np.diff(line.get_xdata()) * (30.4375 if name == "dates" else 1)
                spans.setdefault(axes.get_title(loc="left"), set()).add(tuple(days.round(3)))
    expected = {"wikipedia": {(150.0,)}, "github": {(163.0,)}}
    if name == "months":
        assert spans.pop("") == {(150.0,), (163.0,)}  # the drifts
        assert warnings == ["news is left out: one month (2026-04)"]
    assert spans == expected
    assert name == "dates" or "news" in texts_of(figure)


def test_time_axes_name_days_months_or_years() -> None:
    for first, last, names in (
        ((2026, 1, 30), (2026, 2, 3), ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02", "2026-02-03"]),
        ((2026, 1, 30), (2026, 4, 2), ["2026-02", "2026-03", "2026-04"]),
        ((2024, 11, 1), (2026, 2, 1), ["2025-01", "2025-04", "2025-07", "2025-10", "2026-01"]),
        ((2018, 11, 1), (2026, 2, 1), ["2020", "2022", "2024", "2026"]),
    ):
        axes = Figure().subplots()
        time_axis(axes, [dt.date(*first), dt.date(*last)], "day")
        low, high = axes.get_xlim()
        assert low < dt.date(*first).toordinal() < dt.date(*last).toordinal() < high
        ticks = [
            text.get_text()
            for place, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if low < place < high
        ]
        assert ticks == names


def test_positions_are_the_paired_differences(tokens: Path) -> None:
    figure = plots.positions(tokens)
    edges = (0, 256, 512, 1024, 2048)
    by_name = {cell.model.name: cell for cell in read_results(tokens, warn=lambda _: None).cells}
    best, worst = sorted((by_name["bytes-1b"], by_name["pairs-2b"]), key=lambda cell: cell.bits_per_byte)
    for reference, rival in ((best, worst), (worst, best)):
        figure = plots.positions(tokens, reference=None if reference is best else worst.model.name)
        gaps = [
            point.bits_per_byte - base.bits_per_byte
            for point, base in zip(
                position_curve(rival, edges), position_curve(reference, edges), strict=True
            )
        ]
        [line] = lines_of(figure).values()
        assert line == pytest.approx(gaps)  # both pay for every byte of the same documents
        assert figure.texts[0].get_text() == f"Where in documents models differ from {reference.model.name}"
        assert f"minus those of\n{reference.model.name}" in figure.axes[0].get_ylabel()


def test_losses_are_the_paired_differences_of_classes(stored: Path) -> None:
    results = read_results(stored, warn=lambda _: None)
    for reference in ("bytes-1b", "pairs-2b"):
        figure = plots.losses(results, reference=reference)
        [axes] = figure.axes
        rows = [text.get_text() for text in axes.get_yticklabels()]
        assert rows[0] == "all bytes  100.0%"
        [dot] = [line for line in axes.lines if list(line.get_ydata()) == [0.0]]
        costs = {cell.model.name: cell.bits_per_byte for cell in results.cells}
        (rival,) = {"bytes-1b", "pairs-2b"} - {reference}
        assert dot.get_xdata()[0] == pytest.approx(costs[rival] - costs[reference], abs=2e-6)
        assert any(row.startswith("function words") for row in rows)


def test_positions_of_one_model_alone_say_what_they_do_not_show(tokens: Path) -> None:
    figure = plots.positions(tokens, models=["bytes-1b"])
    cells = read_results(tokens, warn=lambda _: None).cells
    [cell] = [cell for cell in cells if cell.model.name == "bytes-1b"]
    curve = [point.bits_per_byte for point in position_curve(cell, (0, 256, 512, 1024, 2048))]
    assert list(lines_of(figure).values()) == [pytest.approx(curve)]
    assert figure.texts[0].get_text() == "Bits per byte along documents: bytes-1b alone"
    conditions = " ".join(figure.texts[1].get_text().split())
    assert "it does not say how far back a model looks: score a second model, or this one with" in conditions


def test_positions_of_one_model_at_several_contexts(tmp_path: Path) -> None:
    """A toy whose bytes cost less the more of them it sees: the longest context is what the others lack."""
    corpus = corpus_of([document.text * 8 for document in _documents(5, 9, source="toy")], "long")
    for limit in (64, 512, None):
        model = Counted("toy", "the of and text 12\n" * 9, 1)
        model.identity = dataclasses.replace(model.identity, context_limit=limit)
        model.costs *= 1 + (0 if limit is None else 32 / limit)
        assert not run([model], [corpus], options=RunOptions(output=tmp_path), token_bits=True).failures
    figure = plots.positions(tmp_path)
    assert figure.texts[0].get_text() == "What a longer context is worth to toy, along documents"
    # The title names the model, the lines its contexts, from the shortest.
    assert figure.axes[0].get_ylabel().splitlines() == [
        "bits per byte minus those with",
        "no context limit?; below 0 is better",
    ]
    curves = lines_of(figure)
    assert len(curves) == 2
    for band, ys in zip(figure.axes[0].collections, curves.values(), strict=True):
        bounds = band.get_paths()[0].vertices[:, 1]
        assert bounds.min() < min(ys) and max(ys) < bounds.max()
    assert [min(ys) > 1 for ys in curves.values()] == [True, False]  # of 64: half as much again; of 512
    names = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(names) == ["context ≤ 512?", "context ≤ 64?", "no context limit?"]


def test_a_title_too_long_for_its_figure_has_a_second_line() -> None:
    figure, _ = frame("word " * 20, "conditions")
    title, conditions = figure.texts[:2]
    assert title.get_text().count("\n") == 1
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in (title, conditions)]
    assert boxes[0].x1 < figure.bbox.x1 and boxes[0].y0 >= boxes[1].y1 - 2


def test_dates_count_from_the_cutoff(tokens: Path) -> None:
    figure = plots.dates(tokens)
    # The second of March is two days after the end of February, and 61 after the end of 2025.
    xs = sorted(
        float(line.get_xdata()[0]) for line in figure.axes[0].lines if line.get_marker() not in ("", "None")
    )
    assert xs == pytest.approx([2 / 30.4375, 61 / 30.4375])


def test_speed_reads_what_the_benchmarks_print(tmp_path: Path) -> None:
    rows = [
        {
            "operator": "wkv7 forward",
            "shape": "T=512",
            "ours_s": 0.002,
            "floor_s": 0.001,
            "peers": {"slow": {"seconds": 0.02, "ratio": 10.0}, "fast": {"seconds": 0.001, "ratio": 0.4}},
            "missing": {},
        }
    ]
    path = tmp_path / "kernels.json"
    where = {"environment": {"cpu": "a processor"}}
    path.write_text(json.dumps({**where, "rows": rows}))
    (tmp_path / "rwkv7.json").write_text(json.dumps({**where, "shape": "L12", "ratio_median": 3.66}))
    peers = [{"name": "rival", "ratio_median": 2.25}]
    score = [{"model": "m", "dtype": "float32", "gemm_share": 0.75, "peers": peers}]
    (tmp_path / "score.json").write_text(json.dumps({**where, "rows": score}))
    (tmp_path / "profile.json").write_text(json.dumps({**where, "rows": [{"model": "m", "wall_s": {}}]}))
    figure = plots.speed(tmp_path)
    bars = [patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle)]
    colors = {round(1 + bar.get_width(), 2): to_hex(bar.get_facecolor()) for bar in bars}
    by_ratio = {0.4: RED, 0.5: GREY, 0.75: GREY, 2.25: BLUE, 3.66: BLUE, 10: BLUE}
    assert colors == {ratio: color.lower() for ratio, color in by_ratio.items()}
    text = texts_of(figure)
    for shown in ("10.00 ×", "0.40 ×", "3.66 ×", "2.25 ×", "0.75 ×", "a processor", "wkv7 forward, T=512"):
        assert shown in text
    assert "3.66" not in texts_of(plots.speed(path))
    again = {**where, "processor": "a second", "rows": [{**score[0], "gemm_share": 0.625}]}
    (tmp_path / "score-second.json").write_text(json.dumps(again))
    on_two = texts_of(plots.speed(tmp_path))
    for shown in (
        "m as a whole, float32, a processor",
        "m as a whole, float32, a second",
        "0.62 ×",
        "0.75 ×",
    ):
        assert shown in on_two
    (tmp_path / "other.json").write_text(json.dumps({**where, "rows": [{"operator": "wkv7"}]}))
    warnings: list[str] = []
    assert "10.00 ×" in texts_of(plots.speed(tmp_path, warn=warnings.append))
    assert len(warnings) == 1 and "other.json is not what `evalkit bench --json` prints" in warnings[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["paramters", "R", "-o", "a.svg"], "Did you mean parameters"),
        (["ranks", "R", "-o", "a.gif"], ".svg, .png, .pdf"),
        (
            ["ranks", "R", "-o", "a.svg", "--models", "model-0"],
            "unknown model 'model-0'. Did you mean model-0",
        ),
        (["heatmap", "R", "-o", "a.svg", "--reference", "xz"], "heatmap takes no --reference"),
        (["heatmap", "R", "-o", "a.svg", "--policy", "documents"], "unknown policy"),
        (["positions", "R", "-o", "a.svg"], "run again with --token-bits"),
        (["losses", "R", "-o", "a.svg"], "run again with --token-bits"),
        (["probe-lengths", "R", "-o", "a.svg"], "no trained probe"),
        (["heatmap", "nowhere", "-o", "a.svg"], "no such folder"),
        (["months", "R", "-o", "a.svg", "--models", "model-0"], "unknown model 'model-0'. Did you mean"),
        (["months", "R", "-o", "a.svg", "--policy", "documents"], "unknown policy"),
        (["speed", "R", "-o", "a.svg", "--models", "model-0"], "unknown model 'model-0'. Did you mean"),
    ],
)
def test_bad_requests_get_one_line(arguments: list[str], says: str, months: Path) -> None:
    outcome = run_cli("plot", *[str(months) if one == "R" else one for one in arguments])
    assert outcome.exit_code == 2
    assert says in outcome.stderr and outcome.stderr.count("\n") == 1
    assert not Path("a.svg").exists()


def test_the_command_writes_several_files(months: Path) -> None:
    outcome = run_cli(
        "plot", "heatmap", months, "-o", "a.svg", "-o", "deep/er/a.png", "--corpora", "source0-2026-01"
    )
    assert (outcome.exit_code, outcome.stdout) == (0, "a.svg\ndeep/er/a.png\n")
    assert Path("a.svg").read_bytes().startswith(SVG) and Path("deep/er/a.png").read_bytes().startswith(PNG)


def test_figures_show_themselves_in_notebooks_and_leave_pyplot_alone(months: Path) -> None:
    code = (
        "import sys; from evalkit import plots\n"
        f"assert plots.heatmap({str(months)!r})._repr_png_().startswith({PNG!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_labels_keep_their_distance_and_their_order() -> None:
    wanted = [0.1, 0.1, 0.11, 0.5, 0.9]
    places = np.array(spread(wanted, 0.05))
    assert (np.diff(places) >= 0.05 - 1e-12).all()
    assert places[:3].mean() == pytest.approx(np.mean(wanted[:3])) and list(places[3:]) == pytest.approx(
        [0.5, 0.9]
    )


def test_yellow_text_can_be_read() -> None:
    def luminance(color: str) -> float:
        rgb = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in ("#CCBB44", "#66CCEE", "#4477AA", "#BBBBBB"):
        assert 1.05 / (luminance(ink(color)) + 0.05) >= 4.5


def test_names_of_any_kind_are_drawn_as_they_are(tmp_path: Path) -> None:
    """Not as formulas, and no longer than leaves room for the axes; matplotlib's warnings are errors."""
    models = [Counted("a $x^ $", "the of", 1), Counted("m" * 100, "text", 2), Counted("n" * 230, "of", 3)]
    corpus = corpus_of([document.text for document in _documents(5, 9, source="toy")], "c" * 200)
    assert not run(models, [corpus], options=RunOptions(output=tmp_path / "runs")).failures
    # Nobody says what these models have read: where all corpora are one number, a mark is in the name.
    shortened = {
        "heatmap": "m" * 21 + "…" + "m" * 22,
        "differences": "m" * 20 + "…" + "m" * 22 + "?",
        "speed": "m" * 21 + "…" + "m" * 22,
    }
    for name in shortened:
        figure = plots.draw(name, tmp_path / "runs")
        plots.figure_bytes(figure, ".svg")
        ticks = [tick for one in figure.axes for tick in (*one.get_xticklabels(), *one.get_yticklabels())]
        names = [tick.get_text() for tick in ticks]
        assert shortened[name] in names and max(map(len, names)) == 44
        assert {"a $x^ $", "a $x^ $?"} & set(names) or "a $x^ $" in texts_of(figure)


def test_a_model_that_can_represent_no_long_document_is_left_out_of_positions(tmp_path: Path) -> None:
    texts = [f"{number} long text " * 200 for number in range(5)] + ["short"]
    models = [Counted("bytes", "the of", 1), Counted("lossy", "text", 1, refuses="long")]
    done = run(
        models, [corpus_of(texts, "long")], options=RunOptions(output=tmp_path / "runs"), token_bits=True
    )
    assert not done.failures
    warnings: list[str] = []
    labels = texts_of(plots.positions(tmp_path / "runs", warn=warnings.append))
    assert "bytes" in labels and "lossy" not in labels
    assert warnings == ["lossy is left out: it can represent none of the 5 documents"]


def test_a_probe_that_cannot_be_drawn_does_not_stop_the_other_plots(tmp_path: Path) -> None:
    content = probe_content()
    del content["spec"]["seed"]
    write_synthetic_store(tmp_path / "all", num_models=2, num_corpora=1, num_documents=5)
    write_cell_files(tmp_path / "all" / "1.json", content)
    told: list[str] = []
    names = {figure.name for figure in plots.draw_all(tmp_path / "all", tell=told.append)}
    assert {"heatmap", "speed"} <= names and not names & {"probe-lengths", "min-layers"}
    assert any("no plot probe-lengths" in line for line in told)
    warnings: list[str] = []
    read_results(tmp_path / "all", warn=warnings.append)
    assert warnings == ["left out: 1.json is no cell: spec.seed is missing"]
