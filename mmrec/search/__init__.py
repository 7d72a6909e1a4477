"""Search over items: words, typing errors and vectors, fused."""
