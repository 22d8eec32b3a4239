"""What an artefact was made from, and whether it still holds."""
