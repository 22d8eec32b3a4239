"""The pairs of ZIPs that landed, and the reasons why other files cannot be used."""
