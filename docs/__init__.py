"""The documentation site: its pages in Markdown, and `generate`, which makes parts of them from the code."""
