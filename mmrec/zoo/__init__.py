"""Models that are compared on the same tasks, one file each, behind the port mmrec.evaluation.model."""
