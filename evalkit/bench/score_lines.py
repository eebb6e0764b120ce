"""What `evalkit bench score` prints."""

from collections.abc import Mapping

from evalkit.bench.score import PeerRow, ScoreRow


def machine_line(processor: str, gflops: Mapping[str, float], num_threads: int) -> str:
    """The processor and what its matrix products reach."""
    rates = ", ".join(f"{dtype} {rate:.0f} GFLOP/s" for dtype, rate in gflops.items())
    threads = "1 thread" if num_threads == 1 else f"{num_threads} threads"
    return f"{processor}; {threads}; matrix products: {rates}"


def score_lines(row: ScoreRow) -> list[str]:
    """A model on a corpus, ours and then every peer."""
    lines = [
        f"{row.model} on {row.corpus}: {row.num_documents} documents, {row.num_bytes:,} bytes, "
        f"{row.num_tokens:,} tokens; {row.dtype}, {row.device}",
        f"  evalkit: {row.tokens_per_s:,.0f} tokens/s, {row.bytes_per_s / 1e3:.1f} kB/s; "
        f"{row.gemm_share:.0%} of the time is its matrix products alone ({min(row.gemm_shares):.0%} to "
        f"{max(row.gemm_shares):.0%}); padding {row.padding_waste:.1%}, contexts read again "
        f"{1 - row.num_tokens / row.num_positions:.0%}; "
        f"peak memory {row.peak_memory_bytes / 1e6:,.0f} MB",
    ]
    lines += [_peer_line(peer) for peer in row.peers]
    lines += [f"  {name}: not measured, {reason}" for name, reason in row.missing.items()]
    return lines


def _peer_line(peer: PeerRow) -> str:
    line = (
        f"  {peer.name}: {peer.bytes_per_s / 1e3:.1f} kB/s; evalkit {peer.ratio_median:.2f} x as fast "
        f"(rounds {min(peer.ratios):.2f} to {max(peer.ratios):.2f}; by processor time "
        f"{peer.cpu_ratio_median:.2f}; policy {peer.policy})"
    )
    if peer.tolerance is None:
        return f"{line}; bits per byte differ by {peer.bits_per_byte_difference:+.1e}"
    verdict = "nats agree" if peer.agrees else "NATS DIFFER"
    return f"{line}; {verdict}: {peer.nats_difference:.0e} of a document's, tolerance {peer.tolerance:.0e}"
