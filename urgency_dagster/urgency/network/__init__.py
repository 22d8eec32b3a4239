"""The network, its text encoder, and running it over utterances."""
