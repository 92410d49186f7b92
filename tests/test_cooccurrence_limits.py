"""Counts within a limit of memory, by other processes, in files: always the same matrix, and nothing left behind."""

import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest

import kxfast as kx
from kxfast.cooccurrence import counting, sharing, spilling

C = kx.cooccurrence


def identical(found, expected):
    for name in ("indptr", "indices", "data"):
        a, b = getattr(found.matrix, name), getattr(expected.matrix, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert found.vocabulary.words == expected.vocabulary.words
    np.testing.assert_array_equal(found.vocabulary.counts, expected.vocabulary.counts)
    assert (found.window, found.weighting, found.direction) == (expected.window, expected.weighting, expected.direction)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    lines = [" ".join(f"w{i}" for i in rng.zipf(1.4, rng.integers(0, 40)) % 3000) for _ in range(4000)]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where spilled files go; it must be empty in the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few thousand tokens, and merges of merges."""
    monkeypatch.setattr(spilling, "_LEAST", 200_000)
    monkeypatch.setattr(spilling, "_OPEN_RUNS", 3)
    monkeypatch.setattr(counting, "_PIECE", 3_000)
    monkeypatch.setattr(spilling, "_STEP", 10_000)
    monkeypatch.setattr(spilling, "resident", lambda: 0)


OPTIONS = [
    {"window": 5},
    {"window": 5, "weighting": "harmonic", "direction": "left", "min_count": 3},
    {"window": 30, "weighting": "harmonic", "max_size": 500},
    {"window": None, "weighting": "harmonic"},
    {"window": 3, "subsample": 1e-3, "seed": 4, "direction": "right"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_same_matrix_for_any_limit(corpus, scratch, small_blocks, monkeypatch, options):
    expected = C.count(corpus, **options)
    seen = []
    count_block = spilling.Spilled._count_block
    monkeypatch.setattr(
        spilling.Spilled, "_count_block", lambda *given: seen.append(len(given[1])) or count_block(*given)
    )
    for limit in (1_000, 600_000, 1 << 30):
        before = len(seen)
        identical(C.count(corpus, memory_limit=limit, **options), expected)
        blocks = len(seen) - before
        assert (blocks == 1) == (limit == 1 << 30)
        assert limit > 1_000 or blocks > 5
    ids = np.array([1, 2, -1, 2, 2, 7, -1, 0])
    identical(C.count(ids, memory_limit=1), C.count(ids))


@pytest.mark.parametrize("window", [0, 1, 4, 40, 3000, None])
@pytest.mark.parametrize("weighting", ["uniform", "harmonic"])
def test_documents_that_are_longer_than_a_block(scratch, small_blocks, monkeypatch, window, weighting):
    monkeypatch.setattr(spilling, "_LEAST", 300 * 24)
    monkeypatch.setattr(counting, "_PIECE", 70)
    words = np.random.default_rng(1).integers(0, 20, 3000)
    words[[1500, 1520]] = -1
    text = [" ".join(f"w{i}" for i in part) for part in np.split(words, [1500, 1501, 1520, 1521]) if len(part) > 1]
    options = {"window": window, "weighting": weighting, "vocabulary": [f"w{i}" for i in range(15)]}
    identical(C.count(text, memory_limit=1, **options), C.count(text, **options))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_matrix_for_any_number_of_threads(corpus, options, threads):
    identical(C.count(corpus, threads=threads, **options), C.count(corpus, **options))


@pytest.mark.parametrize("options", OPTIONS)
def test_the_same_matrix_from_an_executor(corpus, monkeypatch, options):
    expected = C.count(corpus, **options)
    monkeypatch.setattr(sharing, "SIZE", 60_000)
    with ThreadPoolExecutor(3) as executor:
        identical(C.count(corpus, executor=executor, **options), expected)
        identical(C.count(corpus.read_text().split("\n"), executor=executor, **options), expected)
        words = expected.vocabulary.words
        if "subsample" not in options:
            given = {name: value for name, value in options.items() if name not in ("min_count", "max_size")}
            identical(C.count(corpus, executor=executor, vocabulary=words, **given), expected)


def test_ids_and_nothing_from_an_executor(monkeypatch):
    rng = np.random.default_rng(0)
    ids = rng.integers(-1, 30, 5000)
    monkeypatch.setattr(sharing, "SIZE", 400)
    with ThreadPoolExecutor(2) as executor:
        for options in {"window": 4}, {"window": 4, "subsample": 0.01, "seed": 1}:
            identical(C.count(ids, executor=executor, **options), C.count(ids, **options))
        identical(C.count([], executor=executor), C.count([]))
        identical(C.count(np.zeros(0, int), executor=executor), C.count(np.zeros(0, int)))


def test_processes_and_a_file(corpus, monkeypatch, scratch, tmp_path):
    monkeypatch.setattr(sharing, "SIZE", 100_000)
    expected = C.count(corpus, window=4, weighting="harmonic")
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        identical(C.count(corpus, window=4, weighting="harmonic", executor=executor), expected)
        target = tmp_path / "counts"
        found = C.count(corpus, window=4, weighting="harmonic", executor=executor, memory_limit=1 << 28, output=target)
        identical(found, expected)


def test_a_dask_cluster(corpus, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    monkeypatch.setattr(sharing, "SIZE", 100_000)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        found = C.count(corpus, window=6, subsample=1e-2, seed=2, executor=client.get_executor())
    identical(found, C.count(corpus, window=6, subsample=1e-2, seed=2))


def test_a_file_that_is_mapped(corpus, scratch, tmp_path):
    expected = C.count(corpus)
    found = C.count(corpus, output=tmp_path / "counts")
    identical(found, expected)
    owner = found.matrix.data
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)
    assert found.matrix.data.flags.aligned
    identical(C.load(tmp_path / "counts"), expected)
    expected.save(tmp_path / "saved")
    for memory_map in True, False:
        identical(C.load(tmp_path / "saved", memory_map=memory_map), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counts", "saved", "scratch"]
    with np.load(tmp_path / "counts") as arrays:
        np.testing.assert_array_equal(arrays["data"], expected.matrix.data)
    np.testing.assert_array_equal(C.pmi(found).data, C.pmi(expected).data)


def test_a_matrix_that_does_not_fit(corpus, scratch, tmp_path, monkeypatch):
    monkeypatch.setattr(spilling, "resident", lambda: 1 << 40)
    with pytest.raises(ValueError, match=r"memory_limit must leave \d+ bytes for a matrix of \d+ cells, or output="):
        C.count(corpus, memory_limit=1)
    identical(C.count(corpus, memory_limit=1, output=tmp_path / "c"), C.count(corpus))


def test_nothing_is_left_after_an_interruption(corpus, scratch, small_blocks, tmp_path):
    def raising(done, total, unit):
        if unit == "token":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        C.count(corpus, memory_limit=1, output=tmp_path / "counts", progress=raising)
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]


def die(*_, **__):
    os._exit(1)


def test_nothing_is_left_after_the_crash_of_a_worker(corpus, scratch, monkeypatch, tmp_path):
    monkeypatch.setattr(sharing, "counted", partial(die))
    with ProcessPoolExecutor(1, get_context("fork")) as executor, pytest.raises(BrokenProcessPool):
        C.count(corpus, executor=executor, memory_limit=1, output=tmp_path / "counts")
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]


def test_ctrl_c(tmp_path):
    """A signal ends the counting of a long corpus at once, and its files are gone."""
    code = (
        "import signal, numpy as np, kxfast as kx; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "ids = np.random.default_rng(0).integers(0, 2000, 3_000_000); print('begin', flush=True)\n"
        f"kx.cooccurrence.count(ids, window=2000, memory_limit=1 << 27, output={str(tmp_path / 'counts')!r})"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.readline()
    time.sleep(0.7)
    child.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, errors = child.communicate(timeout=60)
    assert time.monotonic() - begin < 20  # a busy machine; what is tested is that the hours of work are not done
    assert b"KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")
def test_the_limit_is_kept(tmp_path):
    """The peak of a process that counts four million tokens of a wide vocabulary."""
    code = (
        "import re, sys, numpy as np, kxfast as kx\n"
        "rng = np.random.default_rng(0); out = open(sys.argv[1], 'w')\n"
        "for _ in range(40):\n"
        "    ids = (rng.zipf(1.2, 100_000) % 200_000).tolist()\n"
        "    out.write('\\n'.join(' '.join(map(str, ids[i:i + 50])) for i in range(0, len(ids), 50)) + '\\n')\n"
        "out.close(); limit = 160 << 20\n"
        "co = kx.cooccurrence.count(sys.argv[1], window=10, memory_limit=limit, output=sys.argv[2])\n"
        "assert co.matrix.nnz * 12 > limit, co.matrix.nnz\n"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024\n"
        "print(peak <= 1.1 * limit + (64 << 20), peak >> 20)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "text.txt"), str(tmp_path / "counts")]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.split()[0] == "True", found.stdout


@pytest.mark.parametrize("threads", [1, 2])
def test_tokens_are_the_same_however_bytes_come(threads):
    rng = np.random.default_rng(8)
    words = ["a", "bb", "é", "中文字", "x" * 300, "longish"]
    pieces = [words[i] + str(rng.choice([" ", "\n", "\t", " \r\n", "  "])) for i in rng.integers(0, 6, 90_000)]
    data = "".join(pieces).encode()
    from kxfast.backends.native.cooccurrence import Tokenizer
    from kxfast.backends.reference.cooccurrence import Tokenizer as Reference

    expected = Reference(1)
    expected.feed(data)
    expected.finish()
    numbers = expected.take_numbers()
    for step in (1 << 20, 70_001):
        found = Tokenizer(threads)
        for at in range(0, len(data), step):
            assert found.feed(data[at : at + step]) is None
        assert found.finish() is None
        np.testing.assert_array_equal(found.take_numbers(), numbers)
        np.testing.assert_array_equal(found.counts(), expected.counts())
        every = np.arange(len(found.counts()))
        assert found.words(every) == expected.words(every)
    at = data.index(b" ", 400_000) + 1
    assert Tokenizer(threads).feed(data[:at] + b"\xff " + data[at:] + b"\xfe ") == (at, 255)
