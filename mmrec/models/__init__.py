"""Neural models: fusion, towers, rankers, losses."""
