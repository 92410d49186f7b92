"""Every check of the project: ``nox`` runs them all, ``nox -s lint`` one of them, ``nox -l`` lists them.

Sessions without a Python of their own run in the environment where ``pip install -e '.[dev]'`` was run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import nox

nox.options.sessions = [
    "lint",
    "types",
    "native",
    "symbols",
    "cross",
    "stubs",
    "older",
    "sanitize",
    "cuda",
    "package",
    "pythons",
    "bench",
    "tests",
]
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = True

SOURCES = ("src", "tests", "benchmarks", "examples", "conftest.py", "noxfile.py", "setup.py")


def cmake(session: nox.Session, preset: str, *options: str) -> None:
    import cython_cmake
    import pybind11

    session.run(
        *("cmake", "--preset", preset, f"-DPython_EXECUTABLE={sys.executable}", *options),
        f"-DCMAKE_PREFIX_PATH={pybind11.get_cmake_dir()}",
        f"-DCMAKE_MODULE_PATH={Path(cython_cmake.__path__[0]) / 'cmake'}",
        silent=True,
    )
    session.run("cmake", "--build", "--preset", preset, silent=True)


@nox.session(python=False)
def native(session: nox.Session) -> None:
    """Build the compiled modules into src/: seconds after a change of one kernel; words after -- are CMake's."""
    cmake(session, "dev", *session.posargs)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """Style of Python and C++, and the layers."""
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)
    kinds = {".cpp", ".hpp", ".cu", ".cuh"}
    kernels = [path for folder in ("csrc", "cuda", "benchmarks") for path in sorted(Path(folder).rglob("*.*"))]
    session.run("clang-format", "--dry-run", "--Werror", *(str(path) for path in kernels if path.suffix in kinds))
    session.run("lint-imports")
    long = [f"{path}: {n} lines" for path in tracked() if (n := len(path.read_bytes().splitlines())) > 300]
    if long:
        session.error("files over 300 lines: " + ", ".join(long))


def tracked() -> list[Path]:
    """Return the source files under version control, or all where there is none."""
    suffixes = {".py", ".pyx", ".cpp", ".hpp", ".cu", ".cuh"}
    try:
        listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        listed = [
            str(path) for folder in ("src", "csrc", "cuda", "tests", "benchmarks") for path in Path(folder).rglob("*")
        ]
    return [path for path in map(Path, listed) if path.suffix in suffixes and path.is_file()]


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.run("mypy")


@nox.session(python=False)
def older(session: nox.Session) -> None:
    """Convolutions and attention as on a processor that has AVX2 and no more."""
    stems = [str(path) for stem in ("conv", "attention") for path in sorted(Path("tests").glob(f"test_{stem}*.py"))]
    if sys.platform != "linux" or "avx512" not in Path("/proc/cpuinfo").read_text():
        session.skip("this processor has no AVX-512: all tests run as on an older one")
    session.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *stems, env={"KXFAST_ISA": "avx2"})


@nox.session(python=False)
def stubs(session: nox.Session) -> None:
    """The committed stubs of the compiled module are what its bindings say; with the argument `write`, make them so."""
    with tempfile.TemporaryDirectory() as folder:
        session.run("pybind11-stubgen", "kxfast._native", "-o", folder, silent=True, env={"PYTHONPATH": "src"})
        made = Path(folder) / "kxfast" / "_native"
        for stub in made.glob("*.pyi"):
            text = stub.read_text()
            text = re.sub(r"(?m)^__all__.*\n|^from kxfast\._native import .*\n", "", text)
            text = re.sub(r"(?<=[:>] )tuple(?=[,):=]| =)", "tuple[typing.Any, ...]", text)
            text = re.sub(r"(?<=[:>] )list(?=[,):=]| =)", "list[typing.Any]", text)
            text = re.sub(r"(?<=[:>] )dict(?=[,):=]| =)", "dict[str, typing.Any]", text)
            stub.write_text(re.sub(r"(?m)^from \. import (\w+)$", r"from . import \1 as \1", text))
        session.run("ruff", "check", "--fix", "--select", "I,F401", "--quiet", folder, success_codes=[0, 1])
        session.run("ruff", "format", "--quiet", folder)
        kept = Path("src/kxfast/_native")
        if "write" in session.posargs:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(made, kept)
        session.run("diff", "-r", str(kept), str(made), external=True)


@nox.session(python=False)
def symbols(session: nox.Session) -> None:
    """Objects compiled for one instruction set leak no weak symbols: such a copy could be linked in for all."""
    leaks = []
    objects = sorted(Path("build/cmake/dev").rglob("kxfast_kernels_*.dir/**/*.o"))
    if not objects:
        session.error("no objects below build/cmake/dev: run nox -s native first")
    for path in objects:
        listed = subprocess.run(["nm", "-C", str(path)], capture_output=True, text=True, check=True).stdout
        leaks += [
            f"{path.name} of {path.parts[-5:]}: {line}"
            for line in listed.splitlines()
            if re.match(r"\w* +[WVu] ", line)
        ]
    if leaks:
        session.error("weak symbols:\n" + "\n".join(leaks))
    session.log(f"{len(objects)} objects, no weak symbols")


@nox.session(python=False)
def cross(session: nox.Session) -> None:
    """Everything compiles and links for a processor that is no x86, where baseline is all there is."""
    if not shutil.which("aarch64-linux-gnu-g++"):
        session.skip("needs the Debian package g++-aarch64-linux-gnu")
    cmake(session, "aarch64", f"-DPython_INCLUDE_DIR={sysconfig.get_path('include')}")


def at_once() -> list[str]:
    """Return the words that let pytest use the machine's cores."""
    return ["-n", str(min(8, os.cpu_count() or 1))]


def sanitized() -> dict[str, str]:
    """Return the environment of a Python that loads code built with the sanitizers."""
    # libstdc++ too: exceptions pass through the sanitizer, which finds the thrower only if it is there from the start.
    libraries = [
        str(Path(subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip()).resolve())
        for name in ("libasan.so", "libstdc++.so")
    ]
    return {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }


@nox.session(python=False)
def sanitize(session: nox.Session) -> None:
    """Native tests on the best instruction set under the address and undefined-behaviour sanitizers.

    Left out are the reference, laws of large samples, the longest calls, and tests of time: pytest alone runs those.
    """
    known = Path("/proc/cpuinfo")
    wide = known.exists() and "avx512vl" in known.read_text()
    cmake(session, "sanitize", f"-DKXFAST_SANITIZED_ISAS={'avx512;avx512_bf16' if wide else 'avx2'}")
    which = "not baseline and not avx2" if wide else "not baseline"
    which += " and not [reference and not -reference and not same_law and not (any_layout and gillespie)"
    which += " and not control_c and not ctrl_c"
    long = "tests/test_attention_kernels.py::test_results_do_not_depend_on_the_number_of_threads[(40, 40)"
    site = Path("build/cmake/sanitize/site")
    shutil.copytree("src/kxfast", site / "kxfast", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.so"))
    environment = sanitized() | {"PYTHONPATH": str(site.resolve()), "KXFAST_AGREEMENT_SEEDS": "1"}
    names = "agreement contract words segment isa native half conv_native conv_bfloat16 conv_filtered conv_packed"
    names += " attention_kernels attention_bfloat16 attention_layouts gillespie gillespie_lanes gillespie_methods"
    names += " gillespie_events gillespie_time lipschitz_native"
    chosen = [str(path) for name in names.split() if (path := Path(f"tests/test_{name}.py")).exists()]
    words = ["-q", "-p", "no:cacheprovider", *at_once(), "-k", which, "--deselect", long]
    session.run("python", "-m", "pytest", *words, *chosen, env=environment)


@nox.session(python=False)
def cuda(session: nox.Session) -> None:
    """CUDA kernels on the host under the address and undefined-behaviour sanitizers; pytest compiles them for GPUs."""
    flags = "-g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
    tests = [str(path) for path in sorted(Path("tests").glob("test_cuda_*.py"))]
    environment = sanitized() | {"PYTHONPATH": "src", "KXFAST_EMULATION_FLAGS": flags}
    which = "(emulation or refilled or no_order or both_types and (layers or bfloat16-16)"
    which += " or shortcuts and 33-1-gated-bfloat16 or kind_of_convolution and strides"
    which += " or circular and (odd or wide) or head_sizes and float16-40-24 or types_and_sizes and 72-72-3-float16)"
    which += " and not beside and not a_warp_group"
    which += " and not fatal and not is_found and not are_found"  # planted bugs end processes before the sanitizers see
    words = ["-q", "-p", "no:cacheprovider", *at_once(), "-k", which]
    session.run("python", "-m", "pytest", *words, *tests, env=environment)


@nox.session
def package(session: nox.Session) -> None:
    """Source archive to wheel to installation to use from another folder."""
    session.install("build")
    folder = Path(session.create_tmp()).resolve()
    near = Path("build").resolve()  # where a compiler's cache sees what other builds have in common
    near.mkdir(exist_ok=True)
    build = ("python", "-m", "build", "--outdir", str(folder / "dist"))
    session.run(*build, silent=True, env={"TMPDIR": str(near)})
    wheel = next((folder / "dist").glob("*.whl"))
    session.install("--force-reinstall", str(wheel))
    session.chdir(folder)
    session.run("python", "-c", "import kxfast; assert 'native' in kxfast.available(); print(kxfast.__file__)")
    session.run("kxfast", "verify", "--stem", "words", "--seed", "1")


@nox.session(python=["3.12", "3.13", "3.14"])  # the other sessions run on 3.11
def pythons(session: nox.Session) -> None:
    """Build, import and verify with every Python at hand."""
    session.install(".")
    session.chdir(session.create_tmp())
    session.run("kxfast", "verify", "--seed", "1")


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """All tests and doctests: as many at once as there are cores, but those that measure time."""
    session.run("python", "-m", "pytest", *at_once(), "--dist", "worksteal", "-m", "not alone", *session.posargs)
    session.run("python", "-m", "pytest", "-m", "alone", *session.posargs)


@nox.session(python=False)
def bench(session: nox.Session) -> None:
    """The benchmark runs (times are not judged)."""
    session.run("kxfast", "bench", "--quick", "--output", session.create_tmp())


if os.environ.get("CI"):
    nox.options.reuse_existing_virtualenvs = False
