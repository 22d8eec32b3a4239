"""What is said in a segment: recognisers that turn audio into text."""
