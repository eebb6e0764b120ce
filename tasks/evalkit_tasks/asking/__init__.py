"""Questions to pretrained models, answered by likelihood."""
