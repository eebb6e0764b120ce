"""Scoring: which tokens are paid for (`policy`), and in which batches that is computed (`documents`)."""
