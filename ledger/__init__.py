"""The write side of the loyalty ledger, and its gRPC API."""

import os

# Local PostgreSQL and the read side are processes that we start and that use no gRPC of ours. Without its support for
# forks, gRPC has nothing to say about them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
