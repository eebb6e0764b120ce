"""Tables of rotary positions that depend on how long a text is.

LongRoPE (arXiv 2402.13753) has two tables of frequencies and takes the second for texts beyond a length;
dynamic NTK makes a table for every length beyond one. transformers goes by the longest row of a batch,
padding counted, and with dynamic NTK by the longest text that came before. Here a row gets the table that it
would get alone: `HfModel` only computes rows side by side whose tables are the same.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

if TYPE_CHECKING:
    import transformers

_OF_EVERY_LENGTH = "dynamic"
_OF_TWO_SIDES = ("longrope", "su")


class PositionTables(NamedTuple):
    """Which lengths of a text share a table."""

    two_sided: frozenset[int] = frozenset()
    """LongRoPE: lengths up to which the first table is taken."""
    of_every_length: frozenset[int] = frozenset()
    """Dynamic NTK: lengths beyond which every length has its own."""

    @property
    def switches(self) -> frozenset[int]:
        """The greatest lengths whose table is that of the shortest text."""
        return self.two_sided | self.of_every_length

    def within(self, context_limit: int | None) -> list[int]:
        """The switches that a text of the context can be beyond."""
        return [switch for switch in sorted(self.switches) if context_limit is None or switch < context_limit]

    def of_length(self, num_positions: int) -> Hashable:
        """The same for two lengths if and only if they share their tables."""
        sides = tuple(num_positions > switch for switch in sorted(self.two_sided))
        is_beyond = any(num_positions > switch for switch in self.of_every_length)
        return sides, num_positions if is_beyond else 0

    def rows_by_table(self, lengths: Sequence[int]) -> list[list[int]]:
        """Indices of the rows of a batch, together where they may be computed side by side."""
        groups: dict[Hashable, list[int]] = {}
        for row, length in enumerate(lengths):
            groups.setdefault(self.of_length(length), []).append(row)
        return list(groups.values())

    def note(self, context_limit: int | None) -> str | None:
        """What a cell says of it; None where no text of the context is beyond a switch."""
        reached = [
            switch for switch in sorted(self.switches) if context_limit is None or switch < context_limit
        ]
        if not reached:
            return None
        return f"other position tables for texts of more than {', '.join(map(str, reached))} tokens"


def position_tables(config: "transformers.PreTrainedConfig") -> PositionTables:
    """The tables that a config states.

    Args:
        config: of a checkpoint, or of its text model.
    """
    text_config = config.get_text_config(decoder=True)
    stated = getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None) or {}
    per_layer_type = [value for value in stated.values() if isinstance(value, dict)]
    two_sided, of_every_length = set(), set()
    for parameters in per_layer_type or [stated]:
        kind = str(parameters.get("rope_type", parameters.get("type", "default")))
        longest = getattr(text_config, "max_position_embeddings", None)
        original = parameters.get(
            "original_max_position_embeddings",
            getattr(text_config, "original_max_position_embeddings", None),
        )
        if _OF_EVERY_LENGTH in kind and longest:
            of_every_length.add(int(longest))
        elif kind in _OF_TWO_SIDES and (original or longest):
            two_sided.add(int(original or longest or 0))
    return PositionTables(frozenset(two_sided), frozenset(of_every_length))


def reset_tables(model: nn.Module) -> None:
    """Make a model's dynamic tables those of a short text, whatever was read before."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        if kinds is None or not hasattr(module, "max_seq_len_cached"):
            continue
        for layer_type, kind in kinds.items() if isinstance(kinds, dict) else [(None, kinds)]:
            if _OF_EVERY_LENGTH in str(kind):
                # transformers itself goes back to the first table where it sees a short text.
                device = module.get_buffer(
                    "inv_freq" if layer_type is None else f"{layer_type}_inv_freq"
                ).device
                first = torch.zeros(1, 1, dtype=torch.long, device=device)
                settings = {} if layer_type is None else {"layer_type": layer_type}
                module(torch.zeros(1, device=device), first, **settings)
