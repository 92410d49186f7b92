"""Passes over a corpus: under a memory limit, in other processes, with progress; the results are the same."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases
from kxfast.words import collect

MEMORY = 32 << 20
native = pytest.mark.skipif(
    "native" not in " ".join(cases.engines("words.count_ngrams")), reason="the compiled module is not installed"
)


def lines(seed: int = 3, count: int = 400) -> list[str]:
    rng = np.random.default_rng(seed)
    letters = list("天地玄黄宇宙洪荒日月盈昃辰宿列张，。a1") + ["宇宙", "日月盈昃"] * 4
    return ["".join(rng.choice(letters, 60)) for _ in range(count)]


def everything(corpus, **keywords):
    """Return all that a count and the methods of discovery give."""
    ng = kx.words.count_ngrams(corpus, max_order=5, min_count=2, **keywords)
    kenlm = kx.words.count_ngrams(corpus, max_order=3, min_count=3, counts="kenlm", **keywords)
    tables = [ng.ngrams(n) for n in range(1, 6)] + [kenlm.ngrams(n) for n in (1, 2, 3)]
    entropies = [ng.entropies(n) for n in (1, 3)]
    found = [
        kx.words.discover(corpus, method=method, min_count=3, min_pmi=0.3, report=True, **bounds, **keywords)
        for method, bounds in [(m, {"min_entropy": 0.5} if m == "entropy" else {}) for m in kx.words.METHODS]
    ]
    lexicons = [(list(lex.items()), [column.tobytes() for column in lex._columns.values()]) for lex in found]
    numbers = [[side.tolist() for side in sides] for sides in entropies]
    return [(grams, counts.tolist()) for grams, counts in tables], ng.total, kenlm.total, numbers, lexicons


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks and shards of a few lines, and a merge of every three files."""
    monkeypatch.setattr(collect, "_FAN_IN", 3)
    original = collect.Corpus.__init__

    def smaller(self, corpus, *arguments, **keywords):
        original(self, corpus, *arguments, **keywords)
        self.block = 2000
        self._pieces = collect.pieces_of(corpus, 2000)

    monkeypatch.setattr(collect.Corpus, "__init__", smaller)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_blocks_that_are_spilled_give_the_same(tmp_path, monkeypatch, small_blocks, backend):
    if backend not in " ".join(cases.engines("words.count_ngrams")):
        pytest.skip("the compiled module is not installed")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    text = lines(count=400 if backend == "native" else 60)
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(text), encoding="utf-8")
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress("\n".join(text[:30]).encode()))
    with kx.use_backend(backend):
        expected = everything(text)
        assert everything(text, memory_limit=MEMORY) == expected
        assert everything(path, memory_limit=MEMORY) == expected
        both = [path, tmp_path / "more.txt.gz"]
        assert everything(both, memory_limit=MEMORY) == everything(text + text[:30])
        once = kx.words.discover(iter(text), min_count=3, min_pmi=0.3, report=True, memory_limit=MEMORY)
    assert list(once.items()) == expected[-1][0][0]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["corpus.txt", "more.txt.gz"]


@native
def test_processes_give_the_same(tmp_path):
    text = lines()
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(text), encoding="utf-8")
    expected = everything(text)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert everything([path, *text[:9]], executor=executor) == everything(text + text[:9])
        assert everything(path, executor=executor, memory_limit=MEMORY) == expected


@native
def test_shards_of_an_executor_give_the_same(small_blocks):
    text = lines()
    with ThreadPoolExecutor(3) as executor:
        expected = everything(text)
        assert everything(text, executor=executor) == expected
        assert everything(text, executor=executor, memory_limit=MEMORY) == expected
        assert dict(kx.words.discover(iter(text), min_count=3, min_pmi=0.3, executor=executor)) == dict(
            expected[-1][0][0]
        )


@native
def test_a_dask_cluster_gives_the_same(tmp_path):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    text = lines()
    expected = kx.words.discover(text, min_count=3, min_pmi=0.3, report=True)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = kx.words.discover(text, min_count=3, min_pmi=0.3, report=True, executor=client.get_executor())
    assert list(found.items()) == list(expected.items())
    for name, column in expected._columns.items():
        assert np.array_equal(found._columns[name], column, equal_nan=True)


@pytest.mark.parametrize("keywords", [{}, {"memory_limit": MEMORY}, {"executor": True}])
def test_progress_rises_to_its_total(tmp_path, keywords):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines()), encoding="utf-8")
    heard: list[tuple[int, int, str]] = []
    with ThreadPoolExecutor(1) as executor:
        if keywords.get("executor"):
            keywords = {"executor": executor}
        kx.words.discover(path, report=True, progress=lambda *each: heard.append(each), **keywords)
    assert heard
    assert heard[-1][0] == heard[-1][1] > 0
    assert {unit for _, _, unit in heard} == {"B"}
    done = [each[0] for each in heard]
    assert done == sorted(done)
    assert all(total == heard[0][1] and at <= total for at, total, _ in heard)


def test_entropies_of_an_iterator_that_is_gone():
    ng = kx.words.count_ngrams(iter(lines()), memory_limit=MEMORY)
    with pytest.raises(ValueError, match="corpus must be a path or a list to be read again; got an iterator"):
        ng.entropies(2)


PROGRAM = """
    import itertools, signal, sys
    import kxfast as kx

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off

    def endless():
        rows = [chr(0x4E00 + (i * 7919) % 5000) * 3 + chr(0x4E00 + i % 3000) for i in range(20000)]
        for number, row in enumerate(itertools.cycle(rows)):
            if number == 600_000:
                print("spilling", flush=True)
            yield row

    try:
        kx.words.discover(endless(), memory_limit=32 << 20)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_nothing_is_left_behind_after_ctrl_c(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"spilling\n"
        assert [each for folder in tmp_path.iterdir() for each in folder.iterdir()]
        child.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert child.wait(timeout=30) == 130
        assert time.monotonic() - begun < 20
    finally:
        child.kill()
        child.communicate()
    assert list(tmp_path.iterdir()) == []


LIMITED = """
    import re, sys
    import numpy as np
    import kxfast as kx

    def text():
        rng = np.random.default_rng(1)
        for _ in range(40):
            codes = (0x4E00 + rng.zipf(1.3, 150_000) % 6000).astype("<u4")
            joined = codes.tobytes().decode("utf-32-le")
            yield from (joined[i : i + 100] for i in range(0, len(joined), 100))

    limit = int(sys.argv[1]) or None
    found = kx.words.discover(text(), min_count=40, min_pmi=1, memory_limit=limit)
    status = open("/proc/self/status").read()  # the peak that getrusage tells may be the parent's
    print(len(found), int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024)
"""


@native
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_a_memory_limit_holds():
    def measured(limit: int) -> tuple[int, int]:
        command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(limit)]
        words, peak = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
        return int(words), int(peak)

    limit = 48 << 20
    words, peak = measured(limit)
    free, more = measured(0)
    assert words == free > 0
    assert peak < 1.1 * limit + (64 << 20) < more


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_file_read_on_several_threads_gives_the_same(tmp_path, monkeypatch, backend):
    if backend not in " ".join(cases.engines("words.count_ngrams")):
        pytest.skip("the compiled module is not installed")
    monkeypatch.setattr(collect, "_READ", 300)
    text = lines(count=60)
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(text), encoding="utf-8")
    heard: list[int] = []
    with kx.use_backend(backend):
        expected = kx.words.count_ngrams(text, max_order=3)
        for threads in 1, 2, 7:
            found = kx.words.count_ngrams(path, max_order=3, threads=threads, progress=lambda *at: heard.append(at[0]))
            for n in 1, 2, 3:
                assert found.ngrams(n)[0] == expected.ngrams(n)[0]
                assert found.ngrams(n)[1].tolist() == expected.ngrams(n)[1].tolist()
            assert heard[-1] == 2 * path.stat().st_size
        data = bytearray(path.read_bytes())
        for at in 9000, 4000:  # in pieces of different threads: the first is told, whichever thread is faster
            start = data.rindex(b"\n", 0, at) + 1
            data[start] = 0xFF
        path.write_bytes(data)
        for threads in 1, 2, 7:
            with pytest.raises(ValueError, match=rf"corpus must be UTF-8; got byte 0xff at offset {start} of"):
                kx.words.count_ngrams(path, threads=threads)


@native
def test_sorts_of_many_rows_keep_their_order():
    codes = 0x4E00 + np.random.default_rng(4).zipf(1.2, 300_000) % 5000
    joined = codes.astype("<u4").tobytes().decode("utf-32-le")
    text = [joined[i : i + 60] for i in range(0, len(joined), 60)]
    rules = {"method": "pairs", "min_count": 1, "min_pmi": 2.0}
    found = kx.words.discover(text, **rules)
    assert len(found) > 1 << 15  # the rows of one part of the sort
    assert list(found.items()) == sorted(found.items(), key=lambda row: (-row[1], row[0]))
    assert sum(len(word) * count for word, count in found.items()) == len(codes)
    halves = kx.words.count_ngrams(text[:2000], max_order=2) + kx.words.count_ngrams(text[2000:], max_order=2)
    whole = kx.words.count_ngrams(text, max_order=2, entropies=True)
    assert [side.tolist() for side in halves.entropies(2)] == [side.tolist() for side in whole.entropies(2)]
