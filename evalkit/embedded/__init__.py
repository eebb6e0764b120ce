"""Small language models that come with evalkit, and the recipe that trained them."""
