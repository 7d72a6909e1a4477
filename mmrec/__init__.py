"""mmrec: a streaming, multi-modal, multi-behavior recommender; this package does all the thinking."""
