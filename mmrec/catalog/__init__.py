"""The catalogue: items, their cleaning, and the data sets that come with one."""
