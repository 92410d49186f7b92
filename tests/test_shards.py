"""Corpora in shards: no line is cut, none is lost, and what is combined is what one piece gives."""

import gzip
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from kxfast.corpus import chunks, documents
from kxfast.files import scratch_folder, whole_file
from kxfast.shards import Documents, Lines, reduced, shards


def lines_of(piece: Lines | Documents) -> list[str]:
    if isinstance(piece, Documents):
        return list(piece.members)
    return b"".join(chunks(piece.path, "corpus", piece.start, piece.stop)).decode().splitlines()


def all_lines(pieces) -> list[str]:
    return [line for piece in pieces for line in lines_of(piece)]


def interrupt():
    raise KeyboardInterrupt


def added(first: list[str], second: list[str]) -> list[str]:
    return first + second


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("last", ["", "\n"])
def test_ranges_hold_whole_lines_in_order(tmp_path, size, last):
    text = ["", "a b", "中文", "x" * 50, "", "end"]
    path = tmp_path / "c.txt"
    path.write_text("\n".join(text) + last, encoding="utf-8")
    pieces = list(shards(path, size))
    assert all_lines(pieces) == text == list(documents(path))
    assert (len(pieces) == 1) == (size >= 64)  # at 64 the last line is cut into: it belongs to the range
    assert all(lines_of(piece) for piece in pieces)


def test_files_in_memory_and_on_disk_keep_their_order(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "b.gz"
    plain.write_text("one\ntwo\n")
    packed.write_bytes(gzip.compress(b"three\nfour"))
    mixed = ["zero", plain, packed, "five", "six"]
    for size in (1, 1 << 20):
        assert all_lines(shards(mixed, size)) == ["zero", "one", "two", "three", "four", "five", "six"]
    assert [type(piece) for piece in shards(mixed, 1 << 20)] == [Documents, Lines, Lines, Documents]
    assert all_lines(shards([str(plain), str(packed)])) == ["one", "two", "three", "four"]


def test_token_lists_are_documents():
    assert [piece.members for piece in shards([["a", "b"], ["c"]], 9)] == [(["a", "b"],), (["c"],)]


def test_an_iterable_is_not_held_whole():
    def endless():
        while True:
            yield "word " * 10

    assert len(next(shards(endless(), 1000)).members) == 20


@pytest.mark.parametrize("wrong", [3, b"bytes", None])
def test_what_is_no_corpus(wrong):
    with pytest.raises(TypeError, match="corpus must be a path, or paths or documents; got"):
        shards(wrong)


def test_a_missing_file_is_an_error_of_the_call(tmp_path):
    with pytest.raises(FileNotFoundError, match="corpus"):
        shards([tmp_path / "none.txt"])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8])
def test_results_are_combined_in_order(n):
    seen = []
    with ThreadPoolExecutor(2) as executor:
        pieces = [Documents((str(i),)) for i in range(n)]
        found = reduced(executor, lines_of, pieces, added, lambda done, total: seen.append((done, total)))
    assert found == ([str(i) for i in range(n)] or None)
    assert not n or seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)


def test_an_error_in_a_worker_is_raised_and_the_rest_is_cancelled():
    def broken(piece):
        raise ValueError("bad byte")

    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="bad byte"):
        reduced(executor, broken, [Documents(("a",))] * 100, added)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), whole_file(target):
        interrupt()
    assert list(tmp_path.iterdir()) == []
    with whole_file(target) as stream:
        stream.write(b"all")
    assert target.read_bytes() == b"all"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask


def test_a_scratch_folder_is_gone_after_an_error():
    folders = []

    def work():
        with scratch_folder() as folder:
            (folder / "run").write_bytes(b"x")
            folders.append(folder)
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not folders[0].exists()
