"""Ranking and re-ranking of candidates."""
