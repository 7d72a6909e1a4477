"""Releases: what belongs together in serving, how it is made, promoted and rolled back."""
