"""Time-decayed multi-behavior scores: decay, affinity, profiles, apply, item statistics."""
