"""Readers of the forms in which people keep catalogues and events: one file and one line of registry.py each."""
