"""What word vectors of one corpus and one dimension know, beside gensim's word2vec and the C trainers.

python benchmarks/quality_cooccurrence.py --data DIR --language en|zh [--only NAME], where DIR/text has the corpus
(en_books*.txt.xz, or zh_wiki*.txt.xz, which is cut into words by jieba's rules), the sets (sim_*, analogy_*) and for
zh dict_jieba.txt.xz. Peers: gensim; glove and simpler_glove with vocab_count, cooccur and shuffle on the PATH. Rows of
a run take the place of the same rows in the file of results.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import RESULTS, processor, write
from peers import cooccurrence as peers

import kxfast as kx
from kxfast.cooccurrence import quality

C = kx.cooccurrence
DIM, EPOCHS = 100, 25
Make = Callable[[Path, Path], Any]


def count(text: Path, **options: Any) -> Any:
    return C.count(text, window=peers.WINDOW, min_count=peers.MIN_COUNT, **options)


def by_pmi(**options: Any) -> Make:
    return lambda text, folder: C.word_vectors(count(text), dim=DIM, epochs=EPOCHS, seed=1, **options)


def by_svd(text: Path, folder: Path) -> Any:
    return C.word_vectors(count(text), dim=DIM, method="svd", seed=1)


def by_svd_of_thinned(text: Path, folder: Path) -> Any:
    return C.word_vectors(count(text, weighting="harmonic", subsample=1e-4, seed=1), dim=DIM, method="svd", seed=1)


def by_gensim(text: Path, folder: Path) -> Any:
    from gensim.models import Word2Vec

    made = Word2Vec(
        corpus_file=str(text), vector_size=DIM, window=5, min_count=peers.MIN_COUNT, sg=1, workers=kx.get_num_threads(),
        epochs=5, seed=1, max_vocab_size=None,
    )  # fmt: skip
    return C.WordVectors(made.wv.vectors, made.wv.index_to_key)


def by_program(name: str, weighting: int, epochs: int) -> Make:
    def make(text: Path, folder: Path) -> Any:
        peers.shuffled(text, folder, weighting)
        peers.glove_epochs(folder, name, DIM, epochs, kx.get_num_threads())
        return C.WordVectors.load(next(folder.glob("vectors*.txt")))

    return make


MAKERS: dict[str, Make] = {
    "kxfast, pmi": by_pmi(),
    "kxfast, pmi, not truncated": by_pmi(truncate=False),
    "kxfast, svd": by_svd,
    "kxfast, svd, 1/d, thinned": by_svd_of_thinned,
    "gensim word2vec, skip-gram, window 5": by_gensim,
    "GloVe, 1/d, 15 epochs": by_program("glove", 1, 15),
    "simpler_glove": by_program("simpler_glove", 0, EPOCHS),
}


def english(source: Path, target: Path) -> None:
    with lzma.open(next(source.glob("en_books*.txt.xz"))) as packed, open(target, "wb") as plain:
        shutil.copyfileobj(packed, plain)


def chinese(source: Path, target: Path) -> None:
    dictionary = target.with_suffix(".dict")
    dictionary.write_bytes(lzma.decompress(next(source.glob("dict_jieba*.txt.xz")).read_bytes()))
    segmenter = kx.words.Segmenter.jieba(kx.words.load(dictionary))
    packed = next(source.glob("zh_wiki*.txt.xz"))
    with lzma.open(packed, "rt", encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for words in segmenter.cut_many([line.rstrip("\n") for line in lines]):
            out.write(" ".join(word for word in words if word.strip()) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Score word vectors beside those of other programs.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the development data")
    parser.add_argument("--language", choices=("en", "zh"), required=True)
    parser.add_argument("--only", choices=list(MAKERS), action="append", help="these rows alone")
    parser.add_argument("--json", type=Path, default=RESULTS / f"cooccurrence_quality_{processor()}.json")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(chosen.json.read_text())["rows"] if chosen.json.exists() else []
    with tempfile.TemporaryDirectory(prefix="kxfast-quality-") as work:
        text = Path(work) / "text.txt"
        {"en": english, "zh": chinese}[chosen.language](chosen.data / "text", text)
        for name in chosen.only or MAKERS:
            start = time.perf_counter()
            try:
                with tempfile.TemporaryDirectory(dir=work) as folder:
                    vectors = MAKERS[name](text, Path(folder))
            except ImportError as error:
                print(f"({name} is left out: {error})")
                continue
            seconds = time.perf_counter() - start
            scores = quality.report(vectors, chosen.data / "text", chosen.language)
            shown = "  ".join(f"{each.name} {each.value:.3f} ({each.known})" for each in scores)
            print(f"{name:<38} {seconds:6.1f} s  {shown}", flush=True)
            rows = [row for row in rows if (row["name"], row["language"]) != (name, chosen.language)]
            row = {"name": name, "language": chosen.language, "seconds": seconds, "dim": DIM}
            rows.append({**row, "scores": [asdict(each) for each in scores]})
            write(chosen.json, rows)


if __name__ == "__main__":
    main()
