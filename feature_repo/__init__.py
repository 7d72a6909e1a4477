"""The Feast repository of mmrec, generated from mmrec.features.schema."""
