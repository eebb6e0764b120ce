"""A leaderboard.toml of two small sources, one of which is down."""

CONFIG = """
title = "a small board"
results = "results"
window = "half-month"
delay_days = 2
token_bits = false

[models]
always = ["xz", "zstd"]
anchors = ["xz"]

[[sources]]
source = "toy"
options = ["--documents", "{documents}"]

[[sources]]
source = "down"
"""
