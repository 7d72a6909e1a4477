"""A deterministic storefront with planted truth."""
