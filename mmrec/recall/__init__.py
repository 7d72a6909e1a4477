"""Recall sources: who proposes candidates."""
