"""classes.csv: encodings, separators, ids below 0, ignored rows, and every error with its lines."""

import numpy as np
import pytest

from input_pipeline.source import class_tables, files
from input_pipeline.source.class_tables import Class

ROWS = "id,name\n0,ground\n1,house\n"


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "classes.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return class_tables.read(path)


def named(rows):
    return [(row.raw, row.name) for row in rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_with_and_without_its_mark(encoding, tmp_path):
    classes, _, by_color = read(tmp_path, "id,name\n0,Straße\n1,水\n", encoding)
    assert named(classes) == [(0, "Straße"), (1, "水")]
    assert not by_color


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250"])
def test_another_encoding_names_file_line_and_remedy(encoding, tmp_path):
    # "id,name\n0,Haus\n1,Stra": 8 + 7 + 6 = 21 characters come before ß, which is the byte 0xdf in all three.
    with pytest.raises(
        ValueError, match=r"Received: .*classes\.csv, whose byte 21 \(0xdf, in line 3: .*Save it as UTF-8"
    ):
        read(tmp_path, "id,name\n0,Haus\n1,Straße\n", encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_is_not_guessed(encoding, tmp_path):
    with pytest.raises(ValueError, match=r"classes\.csv.*zero bytes.*Save it as UTF-8"):
        read(tmp_path, ROWS, encoding)


def test_half_a_character_of_utf_16(tmp_path):
    with pytest.raises(ValueError, match=r"classes\.csv.*UTF-16.*Save it as UTF-8"):
        read(tmp_path, ROWS.encode("utf-16") + b"x")


@pytest.mark.parametrize(
    "text",
    [
        "id;name\n0;ground\n1;house\n",
        "id\tname\r\n0\tground\r\n1\thouse\r\n",
        "sep=;\r\nID;Name\r\n0;ground\r\n1;house\r\n",
        "\n ID , NAME ,\n0, ground ,\n 1,house,\n,,\n\n",
        'name,id\n"ground",0\n"house",+1\n',
        "id,name\r0,ground\r1,house\r",
    ],
    ids=["semicolons", "tabs", "sep=", "blanks", "other order", "old Mac"],
)
def test_tables_as_spreadsheets_write_them(text, tmp_path):
    assert named(read(tmp_path, text)[0]) == [(0, "ground"), (1, "house")]


@pytest.mark.parametrize("name", ["ignore", "Ignore", "IGNORE", " ignore ", '"Ignore "'])
def test_ignore_in_any_case_is_no_class(name, tmp_path):
    classes, ignored, _ = read(tmp_path, f"id,name\n0,{name}\n1,house\n2,water\n")
    assert named(classes) == [(1, "house"), (2, "water")]
    assert named(ignored) == [(0, "ignore"), (255, "ignore")], "255 is ignored where no row has it"


def test_several_ignored_rows_with_and_without_id_and_colour(tmp_path):
    text = (
        "id,name,r,g,b\n0,a,1,2,3\n1,b,4,5,6\n-1,ignore\n255,Ignore,0,0,0\n7,IGNORE,0,0,0\n,ignore,9,9,9\n8,ignore,,,\n"
    )
    classes, ignored, by_color = read(tmp_path, text)
    assert by_color
    assert [(c.name, c.color, c.raw) for c in classes] == [("a", (1, 2, 3), 0), ("b", (4, 5, 6), 1)]
    assert [(c.raw, c.color) for c in ignored] == [
        (-1, None),
        (255, (0, 0, 0)),
        (7, (0, 0, 0)),
        (None, (9, 9, 9)),
        (8, None),
    ]


def test_ids_of_32_bits(tmp_path):
    text = "id,name\n-2147483648,no data\n-1,void\n70000,parcel\n2147483647,last\n"
    classes, _, _ = read(tmp_path, text)
    assert [c.raw for c in classes] == [-2147483648, -1, 70000, 2147483647]
    for one in ("-2147483649", "2147483648", "99999999999"):
        with pytest.raises(ValueError, match=rf"line 2: {one},a \((the id has more than 32 bits|.*whole number)"):
            read(tmp_path, f"id,name\n{one},a\n1,b\n")


@pytest.mark.parametrize(
    "ids",
    [{-1: 255, 0: 0, 1: 1}, {-2147483648: 255, 0: 0, 2147483647: 1}, {-2147483648: 3}, {2147483647: 4}, {-5: 0, -3: 1}],
)
@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32])
def test_the_lookup_takes_every_id_of_every_width(ids, kind):
    lookup, info = files.Lookup(ids), np.iinfo(kind)
    fit = [i for i in ids if info.min <= i <= info.max]
    assert lookup(np.array(fit, kind)).tolist() == [ids[i] for i in fit]
    others = {-128, -2, 2, 100, 255, 65535, 2**32 - 1, -(2**31), 2**31 - 1, info.min, info.max} - set(ids)
    others = np.array([i for i in sorted(others) if info.min <= i <= info.max], kind)
    assert (lookup(others, 9) == 9).all(), "none of them is taken for an id of the table by wrapping around"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,a\n1,b\n0,c\n", r"ids: 0 more than once \(lines 2 and 4\)"),
        ("0,a\n1,b\n0,ignore\n", r"ids: 0 more than once \(lines 2 and 4\)"),
        ("-1,ignore\n1,b\n-1,Ignore\n", r"ids: -1 more than once \(lines 2 and 4\)"),
        ("0,a\n1,b\n2,A\n", r"names: a more than once \(lines 2 and 4\)"),
        ("0,big  house\n1,b\n2,Big House \n3,BIG HOUSE\n", r"names: big  house more than once \(lines 2, 4 and 5\)"),
        ("0,\n1,b\n", r"line 2: 0, \(no name\)"),
        ("0,  \n1,b\n", r"line 2: 0, \(no name\)"),
        ("0\n1,b\n", r"line 2: 0 \(no name\)"),
        (",a\n1,b\n", r"line 2: ,a \(the id is no whole number\)"),
        (",ignore\n1,b\n2,c\n", r"line 2: ,ignore \(the id is no whole number\)"),
        ("1_0,a\n1,b\n", r"line 2: 1_0,a"),
        ("1.0,a\n1,b\n", r"line 2: 1\.0,a"),
        ("0,a,b\n1,b\n", r"line 2: 0,a,b \(3 values for 2 columns; put a name with a separator in quotes\)"),
        ('0,"a\n1,b\n', r"control character; a lone quote"),
    ],
)
def test_a_bad_row_is_named_with_its_line(rows, message, tmp_path):
    with pytest.raises(ValueError, match=rf"(?s)Received in .*classes\.csv: .*{message}"):
        read(tmp_path, f"id,name\n{rows}")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,a,1,2,3\n1,b,1,2,3\n", r"colours: \(1, 2, 3\) more than once \(lines 2 and 3\)"),
        ("0,a,1,2,3\n1,b,4,4,4\n2,ignore,1,2,3\n", r"colours: \(1, 2, 3\) more than once \(lines 2 and 4\)"),
        ("0,a,1,2,256\n1,b,4,4,4\n", r"line 2: .* \(r,g,b are no three values in 0\.\.255\)"),
        ("0,a,,,\n1,b,4,4,4\n", r"line 2: .* \(r,g,b"),
        ("0,ignore,1,,\n1,b,4,4,4\n", r"line 2: .* \(r,g,b"),
        ("0,a,-1,2,3\n1,b,4,4,4\n", r"line 2: .* \(r,g,b"),
    ],
)
def test_a_bad_colour_is_named_with_its_line(rows, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, f"id,name,r,g,b\n{rows}")


@pytest.mark.parametrize("header", ["0,ground", "id,name,r", "id,name,red,green,blue", "id,id,name", "", "name"])
def test_a_bad_header(header, tmp_path):
    with pytest.raises(ValueError, match=r"header id,name or id,name,r,g,b\. Received: .*classes\.csv"):
        read(tmp_path, f"{header}\n0,a\n1,b\n" if header else "")


def test_further_columns_beside_colours_are_passed_over(tmp_path):
    classes, _, _ = read(tmp_path, "id,name,r,g,b,group\n0,a,1,2,3,x\n1,b,4,5,6,y\n")
    assert [c.color for c in classes] == [(1, 2, 3), (4, 5, 6)]


@pytest.mark.parametrize(
    ("rows", "received"),
    [("1,house\n", "one class, 'house'"), ("0,Ignore\n1,house\n", "one class, 'house'"), ("0,ignore\n", "none")],
)
def test_one_class_is_nothing_to_tell_apart(rows, received, tmp_path):
    with pytest.raises(
        ValueError,
        match=rf"nothing to tell apart\. Received in .*classes\.csv: {received}.*background.*a row of its own",
    ):
        read(tmp_path, f"id,name\n{rows}")


def test_a_table_under_another_name(tmp_path):
    (tmp_path / "Classes.CSV").write_text(ROWS)
    with pytest.raises(FileNotFoundError, match=r"no .*classes\.csv\. There is Classes\.CSV"):
        class_tables.read(tmp_path / "classes.csv")


def test_the_background_is_gray_and_the_rest_is_not(tmp_path):
    classes, _, _ = read(tmp_path, "id,name\n0,Background\n1,house\n2,water\n3,void\n")
    gray = [len(set(c.color)) == 1 for c in classes]
    assert gray == [True, False, False, True]
    assert len({c.color for c in classes}) == 4
    assert [c.color for c in classes[1:3]] == [class_tables.color_of(1), class_tables.color_of(2)]
    assert isinstance(classes[0], Class)
