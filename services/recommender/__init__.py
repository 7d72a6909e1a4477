"""The gRPC recommender on Ray Serve."""
