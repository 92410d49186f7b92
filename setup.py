"""Build entry point: Python packages are named here, every native rule lives in CMakeLists.txt."""

from setuptools import find_packages, setup

setup(
    cmake_source_dir=".",
    packages=find_packages("src"),
    package_dir={"": "src"},
    package_data={"kxfast": ["py.typed", "*.pyi", "_native/*.pyi", "data/*", "data/*/*"]},
)
