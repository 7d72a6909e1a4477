"""Behavior events: the configured set of behaviors, the codec, verdicts and reasons for rejection."""
