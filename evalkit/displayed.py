"""How results show themselves in a Python session: a line, a table in a notebook, a pandas frame."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Record = Mapping[str, object]
"""A row of a table: values by column."""

_MAX_ROWS, _MAX_WIDTH = 30, 60


class Displayed:
    """A result with a short ``repr``, a table in notebooks and `to_pandas`.

    A class of results says by `headline` what fits a line, and by `records` what its rows are.
    """

    def headline(self) -> str:
        """What it is, in one line."""
        raise NotImplementedError

    def records(self) -> Sequence[Record]:
        """The rows of its table, all with the same columns."""
        raise NotImplementedError

    def to_pandas(self) -> "pd.DataFrame":
        """The rows of `records` as a pandas frame, one column for each of their names."""
        import pandas as pd

        return pd.DataFrame.from_records(list(self.records()))

    def __repr__(self) -> str:
        """The class and what it is."""
        return f"<{type(self).__name__}: {self.headline()}>"

    def _repr_html_(self) -> str:
        """What notebooks show: `headline` and the first rows. Texts of others are shown, not obeyed."""
        import pandas as pd

        records = list(self.records())
        table = ""
        if records:
            rows = [{name: _short(value) for name, value in record.items()} for record in records[:_MAX_ROWS]]
            frame = pd.DataFrame.from_records(rows).dropna(axis="columns", how="all")
            table = frame.to_html(index=False, na_rep="–", border=0, float_format="{:,.4f}".format)
        more = f"<p>and {len(records) - _MAX_ROWS:,} more rows</p>" if len(records) > _MAX_ROWS else ""
        return f"<p>{html.escape(self.headline())}</p>{table}{more}"


def _short(value: object) -> object:
    return f"{value[: _MAX_WIDTH - 1]}…" if isinstance(value, str) and len(value) > _MAX_WIDTH else value


def counted(count: int, noun: str) -> str:
    """A number of things: ``1 model``, ``2 models``.

    >>> counted(2, "cell")
    '2 cells'
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def first_of(names: Sequence[str], most: int = 4) -> str:
    """Names by commas, and of more than ``most`` how many more there are: a training has hundreds.

    >>> first_of(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
