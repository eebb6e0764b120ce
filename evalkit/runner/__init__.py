"""Runs: what is missing is scored, what is there is kept, what failed is named."""
