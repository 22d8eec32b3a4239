"""Which pairs of ZIPs have landed, and why other files cannot be used."""
