"""One micro-batch of the scoring stream, and what repairs it."""
