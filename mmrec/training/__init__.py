"""Training examples and training loops, without any cluster framework."""
