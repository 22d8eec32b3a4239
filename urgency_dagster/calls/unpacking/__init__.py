"""The members of a pair of ZIPs become files, with an account of each."""
