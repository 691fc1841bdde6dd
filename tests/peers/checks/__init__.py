"""The checks, one file a peer. Importing a file registers its checks."""
