"""From stored state to feature rows: one schema, one assemble()."""
