"""Build entry point: Python packages are named here, every native rule lives in CMakeLists.txt."""

from setuptools import find_packages, setup

setup(
    cmake_source_dir=".",
    packages=[*find_packages("src"), "kxfast._cuda"],
    package_dir={"": "src", "kxfast._cuda": "cuda"},
    package_data={
        "kxfast._cuda": ["*.cu", "*.cuh"],
        "kxfast": ["py.typed", "*.pyi", "_native/*.pyi", "data/*", "data/*/*"],
    },
)
