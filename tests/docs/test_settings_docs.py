"""docs/settings.md has exactly the table of the declared settings.

`python tests/docs/test_settings_docs.py` writes the table.
"""

from pathlib import Path

from asgi_app.settings import setting_fields, settings_table

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
BEGIN, END = "<!-- settings: begin -->\n", "\n<!-- settings: end -->"


def test_page_has_the_generated_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page.partition(BEGIN)[2].partition(END)[0] == settings_table()


def test_table_has_one_row_for_each_setting() -> None:
    heading, rule, *rows = settings_table().splitlines()
    assert heading == "| Variable | Default | What it does |"
    assert rule == "|---|---|---|"
    assert [row.split("`")[1] for row in rows] == [field.env for field in setting_fields()]


def test_every_row_has_three_cells() -> None:
    assert {row.count("|") for row in settings_table().splitlines()} == {4}


def test_every_description_is_a_sentence() -> None:
    for field in setting_fields():
        assert field.description[0].isupper(), field.env
        assert field.description.endswith("."), field.env


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + settings_table() + END + after, encoding="utf-8")
