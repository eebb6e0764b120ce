"""The networks that are trained: published layers at a size that a CPU trains in a minute."""
