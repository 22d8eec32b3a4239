"""The recordings in files, folders and ZIPs, with the labels that lie beside them."""
