"""A K-EmoPhone pickle becomes five judged models. Nothing here knows Dagster."""
