"""The loss curve of a training, as a table and as a picture."""

import csv
from collections.abc import Sequence
from pathlib import Path

from evalkit.files import atomic_write


def write_csv(path: Path, table: Sequence[dict[str, float]]) -> None:
    """Rows of numbers by name of the column, as a CSV file."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def plot_curve(path: Path, model: str, points: Sequence[dict[str, float]], names: Sequence[str]) -> None:
    """The curve as a PNG.

    Args:
        path: of the file.
        model: for the title.
        points: of the curve, as `evalkit.embedded.training.train` makes them.
        names: of the held-out texts in the points, beside ``train``.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    megabytes = [point["num_bytes"] / 1e6 for point in points]
    for name in ("train", *names):
        axes.plot(megabytes, [point[name] for point in points], label=name.replace("_", " "))
    axes.set(title=f"{model} in training", xlabel="megabytes read", ylabel="bits per byte (lower is better)")
    axes.set_ylim(top=min(6.0, points[0]["train"]))
    axes.legend(frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
    pyplot.close(figure)
