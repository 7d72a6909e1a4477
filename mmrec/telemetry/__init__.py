"""Logs and metrics: their names and how they are read."""
