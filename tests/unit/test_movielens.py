import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.errors import DatasetError
from replay.movielens import _first_malformed, load
from replay.ratings import People, Ratings
from tests.movielens_data import describe, movielens_folders
from tests.movielens_miniature import MOVIE_IDS, USERS, Style, write_miniature

STYLES: tuple[Style, ...] = ("ml-1m", "ml-100k")
SEPARATOR = {"ml-1m": b"::", "ml-100k": b"\t"}
FILES = {
    "ml-1m": ("ratings.dat", "movies.dat", "users.dat"),
    "ml-100k": ("u.data", "u.item", "u.user"),
}


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> Style:
    chosen: Style = request.param
    return chosen


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("movielens")
    for style in STYLES:
        write_miniature(root / style, seed=7, style=style)
    return root


@pytest.fixture
def folder(pristine: Path, style: Style, tmp_path: Path) -> Path:
    return shutil.copytree(pristine / style, tmp_path / "a folder")


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"".join(line + b"\n" for line in change(lines)))


def replace_line(path: Path, number: int, line: bytes) -> None:
    edit(path, lambda lines: [*lines[: number - 1], line, *lines[number:]])


def refusal(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        load(folder)
    return str(caught.value)


def test_reads_every_line_in_file_order(folder: Path, style: Style) -> None:
    ratings = load(folder)
    lines = (folder / FILES[style][0]).read_bytes().splitlines()
    expected = [tuple(int(field) for field in line.split(SEPARATOR[style])) for line in lines]
    columns = (ratings.user, ratings.movie, ratings.rating, ratings.timestamp_s)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    assert ratings.name == style
    assert ratings.liked.tolist() == [row[2] >= 4 for row in expected]


def test_titles_are_read_as_latin_1_and_include_movies_nobody_rated(folder: Path) -> None:
    ratings = load(folder)
    assert tuple(ratings.titles) == MOVIE_IDS
    assert ratings.titles[MOVIE_IDS[0]] == f"Café Numéro {MOVIE_IDS[0]}, The (1953)"
    assert MOVIE_IDS[-1] not in ratings.movie


def test_the_miniature_depends_on_its_seed_alone(tmp_path: Path, style: Style) -> None:
    first, again, other = (
        load(write_miniature(tmp_path / name, seed, style=style))
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first.rating.tolist() == again.rating.tolist()
    assert first.rating.tolist() != other.rating.tolist()


def test_counts_equal_the_reference_of_the_data_at_hand(style: Style) -> None:
    folder = movielens_folders()[style]
    ratings = load(folder)
    counted = {
        "ratings": len(ratings),
        "users": len(np.unique(ratings.user)),
        "movies_listed": len(ratings.titles),
        "movies_rated": len(np.unique(ratings.movie)),
        "likes": int(ratings.liked.sum()),
        "ts_min": int(ratings.timestamp_s.min()),
        "ts_max": int(ratings.timestamp_s.max()),
    }
    reference_file = folder / "reference" / "reference.json"
    if reference_file.exists():
        reference = json.loads(reference_file.read_bytes())
        assert counted == {name: reference[name] for name in counted}
    else:
        assert counted["ratings"] == (folder / FILES[style][0]).read_bytes().count(b"\n")
    assert f"{style}: " in describe()


def test_windows_line_ends_are_accepted(folder: Path) -> None:
    before = load(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    after = load(folder)
    assert after.timestamp_s.tolist() == before.timestamp_s.tolist()
    assert after.titles == before.titles


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert message.startswith(f"{tmp_path / 'nowhere'} is not a folder")


def test_a_folder_without_data_names_the_files_looked_for(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    for name in ("ratings.dat", "movies.dat", "u.data", "u.item"):
        assert name in message


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_empty_file_is_refused(folder: Path, style: Style, which: int) -> None:
    path = folder / FILES[style][which]
    path.write_bytes(b"\n")
    assert refusal(folder).startswith(f"{path} is empty")


@pytest.mark.parametrize("which", [1, 2])
def test_a_missing_list_is_named(folder: Path, style: Style, which: int) -> None:
    path = folder / FILES[style][which]
    path.unlink()
    assert refusal(folder).startswith(f"{path} is missing")


def test_a_file_that_cannot_be_read_is_named(folder: Path, style: Style) -> None:
    path = folder / FILES[style][1]
    path.unlink()
    path.mkdir()
    assert refusal(folder).startswith(f"{path} cannot be read")


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_cut_off_file_is_refused_at_its_last_line(folder: Path, style: Style, which: int) -> None:
    path = folder / FILES[style][which]
    raw = path.read_bytes()
    path.write_bytes(raw[:-3])  # what is left of the timestamp still reads as a number
    message = refusal(folder)
    last = raw.count(b"\n")
    assert message.startswith(f"{path}, line {last}: ")
    assert "cut off" in message


@pytest.mark.parametrize(
    "fields",
    [
        (b"1", b"3", b"5"),
        (b"1", b"3", b"5", b"957000000", b"1"),
        (b"1", b"3", b"five", b"957000000"),
        (b"1", b"3", b"4.5", b"957000000"),
        (b"1", b"3", b"-4", b"957000000"),
        (b"1", b"", b"4", b"957000000"),
        (b" 1", b"3", b"4", b"957000000"),
        (b"1", b"3", b"4", b"957000000 "),
        (b"1234567890", b"3", b"4", b"957000000"),
        (b"1", b"3", b"4", b"9570000000000"),
        (b"",),
        (b"user", b"movie", b"rating", b"timestamp"),
    ],
)
@pytest.mark.parametrize("number", [1, 33])
def test_a_malformed_line_is_named_with_what_was_expected(
    folder: Path, style: Style, fields: tuple[bytes, ...], number: int
) -> None:
    path = folder / FILES[style][0]
    line = SEPARATOR[style].join(fields)
    replace_line(path, number, line)
    message = refusal(folder)
    assert message.startswith(f"{path}, line {number}: expected four whole numbers")
    assert message.endswith(f"found {line.decode()!r}")


def test_the_other_formats_separator_is_refused(folder: Path, style: Style) -> None:
    path = folder / FILES[style][0]
    other = SEPARATOR["ml-100k" if style == "ml-1m" else "ml-1m"]
    replace_line(path, 5, other.join((b"1", b"3", b"4", b"957000000")))
    assert refusal(folder).startswith(f"{path}, line 5: ")


@pytest.mark.parametrize("rating", [b"0", b"6"])
def test_a_rating_outside_1_to_5_is_refused(folder: Path, style: Style, rating: bytes) -> None:
    path = folder / FILES[style][0]
    replace_line(path, 9, SEPARATOR[style].join((b"1", b"3", rating, b"957000000")))
    assert refusal(folder).startswith(f"{path}, line 9: expected a rating from 1 to 5")


def test_a_movie_outside_the_catalogue_is_refused(folder: Path, style: Style) -> None:
    path = folder / FILES[style][0]
    replace_line(path, 9, SEPARATOR[style].join((b"1", b"4", b"5", b"957000000")))
    message = refusal(folder)
    assert message.startswith(f"{path}, line 9: movie 4 is not listed in {FILES[style][1]}")


def test_a_second_rating_of_one_movie_by_one_user_is_refused(folder: Path, style: Style) -> None:
    path = folder / FILES[style][0]
    edit(path, lambda lines: [*lines, lines[3]])
    user, movie = path.read_bytes().splitlines()[3].split(SEPARATOR[style])[:2]
    message = refusal(folder)
    assert f"user {user.decode()} has rated movie {movie.decode()} before" in message
    last = path.read_bytes().count(b"\n")
    assert f"line {last}: " in message


@pytest.mark.parametrize("line", [b"", b"7", b"x::Title::Drama", b"7|Title"])
def test_a_malformed_catalogue_line_is_named(folder: Path, style: Style, line: bytes) -> None:
    path = folder / FILES[style][1]
    replace_line(path, 2, line)
    fields = {"ml-1m": 3, "ml-100k": 24}[style]
    assert refusal(folder).startswith(f"{path}, line 2: expected {fields} fields")


def test_a_movie_listed_twice_is_refused(folder: Path, style: Style) -> None:
    path = folder / FILES[style][1]
    edit(path, lambda lines: [*lines, lines[0]])
    assert f"movie {MOVIE_IDS[0]} is listed twice" in refusal(folder)


def test_people_are_read_in_the_same_words(folder: Path, style: Style) -> None:
    people = load(folder).people
    assert people.user.tolist() == list(range(1, USERS + 1))
    said = {name: values[17] for name, values in people.attributes.items()}  # user 18
    expected = {
        "ml-1m": {"gender": "F", "age": "45-49", "occupation": "tradesman/craftsman"},
        "ml-100k": {"gender": "M", "age": "25-34", "occupation": "artist"},
    }
    assert said == expected[style]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("8", "expected 'id"),
        ("8 X 25 3 1", "expected the gender F or M"),
        ("8 F 0 3 1", "expected an age from 1 to 120"),
        ("8 F old 3 1", "expected an age from 1 to 120"),
        ("1 F 25 3 1", "user 1 is listed twice"),
        ("x F 25 3 1", "expected 'id"),
    ],
)
def test_a_malformed_user_is_named(folder: Path, style: Style, line: str, expected: str) -> None:
    path = folder / FILES[style][2]
    fields = line.split(" ")
    if style == "ml-100k" and len(fields) > 1:
        fields[1:3] = fields[2], fields[1]
    replace_line(path, 8, ("::" if style == "ml-1m" else "|").join(fields).encode())
    assert refusal(folder).startswith(f"{path}, line 8: {expected}")


def test_an_occupation_that_has_no_word_is_refused(folder: Path, style: Style) -> None:
    line = {"ml-1m": b"8::F::25::21::1", "ml-100k": b"8|25|F||1"}[style]
    replace_line(folder / FILES[style][2], 8, line)
    assert "line 8: expected an occupation" in refusal(folder)


def test_a_user_who_is_not_listed_is_refused(folder: Path, style: Style) -> None:
    path = folder / FILES[style][0]
    replace_line(path, 9, SEPARATOR[style].join((b"999", b"3", b"5", b"957000000")))
    message = refusal(folder)
    assert message.startswith(f"{path}, line 9: user 999 is not listed in {FILES[style][2]}")


def test_a_long_line_is_shown_cut(folder: Path, style: Style) -> None:
    path = folder / FILES[style][0]
    replace_line(path, 1, b"9" * 500)
    assert len(refusal(folder)) < len(str(path)) + 250


def test_columns_of_different_length_are_refused() -> None:
    one = np.array([1])
    with pytest.raises(ValueError, match="of one length"):
        Ratings(
            name="x",
            user=one,
            movie=one,
            rating=one,
            timestamp_s=np.array([1, 2]),
            titles={1: "a"},
        )
    with pytest.raises(ValueError, match="every attribute must have 1 values"):
        People(user=one, attributes={"age": ()})


FIELD = st.sampled_from([b"1", b"22", b"123456789", b"", b"x", b"1:2", b"1234567890"])
SEPARATORS = st.sampled_from([b"::", b":", b"\t", b":::"])
LINE = st.tuples(st.lists(FIELD, min_size=1, max_size=5), SEPARATORS).map(
    lambda drawn: drawn[1].join(drawn[0])
)


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(st.just(b"1::2::3::4") | LINE, min_size=1, max_size=6))
def test_the_array_check_finds_the_line_that_a_pattern_finds(lines: list[bytes]) -> None:
    pattern = re.compile(rb"[0-9]{1,9}::[0-9]{1,9}::[0-9]{1,9}::[0-9]{1,12}")
    expected = next((i for i, line in enumerate(lines) if not pattern.fullmatch(line)), None)
    assert _first_malformed(b"\n".join(lines) + b"\n", b"::") == expected
