"""Generated protobuf and gRPC stubs of package mmrec.v1; `make proto` renews them."""
