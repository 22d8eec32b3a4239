"""The hook of mkdocs: replaces each marker of a page by the part that it names.

A marker is a line of its own, `<!-- generate: NAME -->`. `PARTS` lists the names.
"""

import re
from collections.abc import Callable
from typing import Any

from docs.generate import assets, columns, commands, modules, options, serving

PARTS: dict[str, Callable[[], str]] = {
    "asset options": options.asset_options,
    "assets": assets.asset_tables,
    "checks": assets.check_table,
    "commands": commands.command_reference,
    "doors": modules.door_tables,
    "import rules": modules.import_rules,
    "monitored calls columns": columns.monitored_call_columns,
    "modules": modules.module_tables,
    "problems": serving.problem_table,
    "prosody columns": columns.prosody_columns,
    "request limits": serving.request_limits,
    "scored calls columns": columns.scored_call_columns,
    "scored utterances columns": columns.scored_utterance_columns,
    "scoring recordings columns": columns.scoring_recording_columns,
    "stream limits": serving.stream_limits,
    "stream messages": serving.stream_messages,
}

MARKER = re.compile(r"^<!-- generate: (.+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The Markdown of a page with its markers replaced. mkdocs calls this for every page.

    Raises:
        KeyError: a marker names no part.
    """
    return MARKER.sub(lambda marker: PARTS[marker[1]](), markdown)
