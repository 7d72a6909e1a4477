"""A deployment as a whole: how it stands, what may be done to it, and who did."""
