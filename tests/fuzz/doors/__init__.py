"""One module per way in."""
