"""Score a model while it is being trained: the live object, without files and without loading it again."""
