"""Metrics, splits, baselines and intervals."""
