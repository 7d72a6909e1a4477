"""The embedded stack: every engine on one machine, supervised."""
