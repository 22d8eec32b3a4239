"""The evaluation report: what it says in words, its tables, as Markdown and as one HTML page.

It shows scores that `metrics` computed. It never names a call or quotes its text.
"""
