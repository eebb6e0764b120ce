"""A cell cut into parts, where models are fewer than processes: each process scores some of its documents.

Parts are scored as cells are, by processes that may end at any moment. Their documents are kept beside the
cell (`evalkit.cells.partial`), where a later process takes up what an earlier one has finished; who finishes
the last of them writes the cell, of all documents in their order. The run claims the cell as long as there
are parts of it.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from evalkit.runner.claims import HeldClaim, hold
from evalkit.runner.plan import Failure, PartScored, PlannedCell
from evalkit.scoring.parts import Part

CellT = TypeVar("CellT", covariant=True)

LEAST_PART_BYTES = 1 << 18
"""Of text: less is scored sooner than a model is loaded once more."""
_PARTS_PER_SHARE = 2
"""Parts that a process gets of a cell that is an equal share for each: who is done early takes another."""


def part_of(cell: PlannedCell[CellT], part: Part) -> PlannedCell[CellT]:
    """A part of a cell, to be scored as a cell of its own.

    Args:
        cell: one with `PlannedCell.score_part`.
        part: which.
    """
    assert cell.score_part is not None
    return dataclasses.replace(
        cell,
        subject=f"{cell.subject}, part {part.number + 1} of {part.num_parts}",
        num_parts=-(-cell.num_parts // part.num_parts),
        score=functools.partial(cell.score_part, part),
        work=cell.work / part.num_parts,
        part=part,
        whole=cell,
    )


class CutCells(Generic[CellT]):
    """The cells of a run that were cut."""

    def __init__(self) -> None:
        """None is yet."""
        self._open: dict[int, set[int]] = {}
        """Numbers of the parts without an outcome, by `id` of the cell."""
        self._claims: dict[int, HeldClaim] = {}

    def cut(
        self,
        cells: Iterable[PlannedCell[CellT]],
        share: float,
        claim_elsewhere: Callable[[Path], bool] = lambda _: True,
    ) -> list[PlannedCell[CellT]]:
        """The cells, those in parts that are more work than a share and that nobody else is at work on.

        Args:
            cells: without an outcome.
            share: as much work as each process gets.
            claim_elsewhere: claims a cell where its folder is not all that other runs look at; whether it is
                claimed now.
        """
        pieces = []
        for cell in cells:
            num_parts = min(math.ceil(_PARTS_PER_SHARE * cell.work / share), cell.num_most_parts)
            # Rounding must not cut a cell that is an equal share.
            if cell.score_part is None or num_parts < 2 or cell.work <= share * (1 + 1e-9):
                pieces.append(cell)
                continue
            claim = _claim(cell.path, claim_elsewhere)
            if claim is None:
                pieces.append(cell)
                continue
            self._claims[id(cell)], self._open[id(cell)] = claim, set(range(num_parts))
            pieces += [part_of(cell, Part(number, num_parts)) for number in range(num_parts)]
        return pieces

    def holds(self, cell: PlannedCell[CellT]) -> bool:
        """Whether this run has claimed the cell because of its parts."""
        return id(cell.whole or cell) in self._claims

    def settle(self, cell: PlannedCell[CellT], outcome: PartScored | Failure) -> Failure | PartScored | None:
        """Take what came of a part.

        Returns:
            What came of the whole cell: `PartScored` where all parts are; None where it has no outcome yet,
            or had one.
        """
        assert cell.whole is not None and cell.part is not None
        whole = id(cell.whole)
        if whole not in self._open:
            return None
        if isinstance(outcome, Failure):
            self.let_go(cell.whole)
            return dataclasses.replace(outcome, subject=cell.whole.subject)
        self._open[whole].discard(cell.part.number)
        if self._open[whole]:
            return None
        self.let_go(cell.whole)
        return outcome

    def is_over(self, cell: PlannedCell[CellT]) -> bool:
        """Whether this is a part of a cell that has failed meanwhile."""
        return cell.whole is not None and id(cell.whole) not in self._open

    def let_go(self, cell: PlannedCell[CellT]) -> None:
        """Let others have a cell."""
        self._open.pop(id(cell), None)
        if (claim := self._claims.pop(id(cell), None)) is not None:
            claim.release()

    def let_go_of_all(self) -> None:
        """Let others have all cells that were cut."""
        for claim in self._claims.values():
            claim.release()
        self._claims, self._open = {}, {}

    def beat(self) -> None:
        """Say that the cells are being worked on."""
        for claim in self._claims.values():
            claim.touch()


def _claim(path: Path, claim_elsewhere: Callable[[Path], bool]) -> HeldClaim | None:
    """Claim a cell that nobody has finished or is at work on; None where somebody has or is."""
    try:
        claim = hold(path)
    except OSError:  # its folder cannot be written, as will be told when it is scored
        return None
    if claim is not None and (path.exists() or not claim_elsewhere(path)):
        claim.release()
        return None
    return claim
