"""Corpora: dated, hashed, immutable sets of documents; where they come from and how they are published."""
