"""Machine code of the kernels for warp groups, as NVIDIA's disassembler reads it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from functools import cache
from importlib import metadata

import pytest
from cuda_compile import compile_for_gpu
from cuda_variants import variants

VARIANTS = {name: each for name, each in variants().items() if "groups" in name}


@cache
def disassembler():
    try:
        files = metadata.files("nvidia-cuda-nvdisasm") or ()
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate()) for file in files if file.name == "nvdisasm"), None)


def operations(cubin: bytes) -> dict[str, list[str]]:
    """Return the names of each kernel's instructions, in their order."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([disassembler(), "-c", file.name], capture_output=True, text=True, check=True).stdout
    kernels = re.split(r"^\.text\.(\w+):$", said, flags=re.M)[1:]
    name = r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P[0-9T]+ )?([A-Z0-9_]+(?:\.DEPBAR)?)"
    return {kernel: re.findall(name, text, re.M) for kernel, text in zip(kernels[::2], kernels[1::2], strict=True)}


def judge(kernels: dict[str, list[str]]) -> None:
    """Want products in flight together, and nothing between the first and the last that makes a loop slow."""
    for kernel, names in kernels.items():
        assert "HGMMA" in names, f"{kernel} has no product of a warp group"
        of_products = [each for each in names if each in ("HGMMA", "WARPGROUP.DEPBAR")]
        runs = "".join("m" if each == "HGMMA" else " " for each in of_products).split()
        assert min(map(len, runs)) >= 4, f"{kernel} waits for a product before the next: {runs}"
        first, last = names.index("HGMMA"), len(names) - names[::-1].index("HGMMA")
        slow = {"CALL", "LDL", "STL"} & set(names[first:last])
        assert not slow, f"{kernel} has {slow} between products"


@pytest.mark.parametrize("name", VARIANTS)
def test_products_of_warp_groups_follow_each_other(name):
    if disassembler() is None:
        pytest.skip("needs nvidia-cuda-nvdisasm")
    judge(operations(compile_for_gpu(VARIANTS[name].text, "sm_90a")[0]))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["HMMA"], "has no product of a warp group"),
        (["HGMMA", "WARPGROUP.DEPBAR"] * 4, "waits for a product before the next"),
        (["HGMMA"] * 4 + ["CALL"] + ["HGMMA"] * 4, "has {'CALL'} between products"),
    ],
)
def test_slow_code_is_found(names, what):
    judge({"kernel": ["CALL", *["HGMMA"] * 4, "WARPGROUP.DEPBAR", "STL"]})
    with pytest.raises(AssertionError, match=f"kernel {what}"):
        judge({"kernel": names})
