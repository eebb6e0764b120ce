"""Cells: what one model scored on one corpus or answered to one task, on disk, whole or absent."""
