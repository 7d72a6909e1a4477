"""Tests of mmrec."""
