"""Comparing models: data sets as tasks, runs of models on them, and what is told of a run."""
