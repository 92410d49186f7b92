"""Every check of the project, one session each: ``nox`` runs them all, ``nox -s tests`` one of them."""

from __future__ import annotations

import nox

nox.options.sessions = ["native"]


@nox.session(python=False)
def native(session: nox.Session) -> None:
    """Build the compiled module into ``src/`` (the fast way while working on a kernel)."""
    import cython_cmake
    import pybind11

    modules = f"{next(iter(cython_cmake.__path__))}/cmake"
    session.run(
        "cmake", "--preset", "dev", f"-DCMAKE_PREFIX_PATH={pybind11.get_cmake_dir()}", f"-DCMAKE_MODULE_PATH={modules}"
    )
    session.run("cmake", "--build", "--preset", "dev")
