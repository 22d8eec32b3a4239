from docs.generate.assets import asset_tables, check_table
from docs.generate.definitions import GROUPS, checks, specs


def test_every_asset_has_a_row_with_a_description() -> None:
    rows = [line for line in asset_tables().splitlines() if line.startswith("| `")]
    assert len(specs()) >= 20
    for spec in specs():
        name, *model = spec.key.path
        row = next(line for line in rows if line.startswith((f"| `{name}` |", f"| `{name}/<model>` |")))
        assert not model or model[0] in row
        assert not row.endswith("|  |")


def test_assets_are_in_the_table_of_their_group() -> None:
    tables = asset_tables().split("### ")[1:]
    assert [table.partition("\n")[0] for table in tables] == [f"`{group}`" for group in GROUPS]
    assert "| `training_set` | `processed_data` |" in tables[1]


def test_every_check_says_whether_it_stops() -> None:
    rows = check_table().splitlines()[2:]
    assert len(rows) == len(checks()) >= 10
    stopping = {row.split("`")[1] for row in rows if "| stops |" in row}
    assert stopping == {check.name for check in checks() if check.blocking}
    assert {"counts_add_up", "no_leak"} <= stopping
