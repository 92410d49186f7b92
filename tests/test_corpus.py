"""Reading text: every container gives the same documents, and every wrong byte is named."""

import gzip
import lzma
from pathlib import Path

import pytest

from kxfast.corpus import documents

TEXT = "b a\r\n\n中文 c\u2028d\nlast"
EXPECTED = ["b a", "", "中文 c\u2028d", "last"]


def write(path: Path, data: bytes) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    elif path.suffix == ".xz":
        path.write_bytes(lzma.compress(data))
    elif path.suffix == ".zst":
        path.write_bytes(pytest.importorskip("zstandard").compress(data))
    else:
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["txt", "gz", "xz", "zst"])
def test_every_container_gives_the_same_documents(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", TEXT.encode())
    assert list(documents(path)) == EXPECTED
    assert list(documents(str(path))) == EXPECTED
    assert list(documents([path, path])) == EXPECTED * 2
    assert list(documents([str(path)])) == EXPECTED
    assert list(documents(iter([path, "in memory"]))) == [*EXPECTED, "in memory"]


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_a_damaged_file_is_named(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", b"some text\n" * 1000)
    whole = path.read_bytes()
    for damaged in whole[:-9], b"nothing of the kind":
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"corpus must be whole .{suffix} files; got '.*x.{suffix}'"):
            list(documents(path))


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_files_glued_together_are_one_text(tmp_path, suffix):
    first, second = write(tmp_path / f"a.{suffix}", b"one\ntw"), write(tmp_path / f"b.{suffix}", b"o\nthree")
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    assert list(documents(path)) == ["one", "two", "three"]


def test_strings_are_documents_even_when_they_look_like_names():
    assert list(documents(["no such file.txt", ""])) == ["no such file.txt", ""]
    assert list(documents([])) == []
    assert list(documents(line for line in ("a\n", "b"))) == ["a\n", "b"]


@pytest.mark.parametrize("suffix", ["txt", "xz"])
def test_a_byte_that_is_not_utf8_is_named_with_its_offset(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", "line\n中".encode() + b"x\xff\n")
    with pytest.raises(ValueError, match=r"^corpus must be UTF-8; got byte 0xff at offset 9 of '.*x\.\w+'$"):
        list(documents(path))
    assert list(documents(path, errors="replace")) == ["line", "中x\ufffd"]


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = write(tmp_path / "x.txt", b"\xef\xbb\xbfa\n\xff")
    reading = documents(path)
    assert next(reading) == "a"
    with pytest.raises(ValueError, match="offset 5"):
        next(reading)


def test_missing_files_are_errors_of_the_call(tmp_path):
    for corpus in (tmp_path / "no.txt", "no words here", [tmp_path / "no.txt"]):
        with pytest.raises(FileNotFoundError, match="corpus must be an existing file; got"):
            documents(corpus)
    here = write(tmp_path / "here.txt", b"a")
    with pytest.raises(FileNotFoundError, match=r"no\.txt"):
        documents([str(here), str(tmp_path / "no.txt")])
    with pytest.raises(IsADirectoryError):
        documents(tmp_path)


@pytest.mark.parametrize("corpus", [b"bytes", 3, None])
def test_what_is_no_corpus_is_refused(corpus):
    with pytest.raises(TypeError, match="corpus must be a path, or paths or strings; got"):
        documents(corpus)


def test_a_member_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="corpus must hold paths or strings; got bytes"):
        list(documents(["a", b"b"]))
    with pytest.raises(ValueError, match="errors must be one of"):
        documents([], errors="ignore")
