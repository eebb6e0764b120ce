"""Benchmarks: how fast this machine scores, beside other programs on the same machine."""
