"""Feast: the feature store's adapter."""
