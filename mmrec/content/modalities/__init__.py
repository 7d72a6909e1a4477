"""Modalities, one a file, and the registry of all."""
