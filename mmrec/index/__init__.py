"""Vector search over item embeddings."""
