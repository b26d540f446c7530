"""Cross-products: by unit, coded, gathered from pieces, and of a model's columns."""
