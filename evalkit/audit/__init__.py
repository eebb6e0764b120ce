"""Whether a model does what a model has to: checks of a load, and fingerprints of a checkpoint."""
