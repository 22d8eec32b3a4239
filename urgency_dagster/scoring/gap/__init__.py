"""What missing labels cost: the same held-out calls with the turns and text of their labels, and without them."""
