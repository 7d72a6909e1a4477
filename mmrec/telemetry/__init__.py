"""Logs and metrics, and how every program begins, waits and ends."""
