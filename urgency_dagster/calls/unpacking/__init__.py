"""The members of a pair of ZIPs become files, with a row in `members.parquet` for each member."""
