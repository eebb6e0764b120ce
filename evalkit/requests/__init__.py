"""Frozen request sets: contexts and continuations that a task file makes of a data set, for any model."""
