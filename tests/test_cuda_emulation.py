"""The emulation of CUDA on the host: words mean what they must, and planted bugs are found."""

from __future__ import annotations

import re
from contextlib import nullcontext

import numpy as np
import pytest
from cuda_compile import compile_for_gpu
from cuda_emulation import EmulatedDevice, LaunchError

from benchmarks.gpu import conformance
from kxfast.backends.cuda import nvrtc

TEXT = conformance.SOURCE.read_text()
CASE = {case.name: case for case in conformance.CASES}


@pytest.mark.parametrize("target", nvrtc.TARGETS)
def test_instructions_compile_for_every_target(target):
    code, log = compile_for_gpu(TEXT, target)
    assert code
    assert re.findall(r"[1-9]\d* bytes (?:stack frame|spill)|C75\d\d|Performance Loss", log) == []


def test_instructions_are_written_in_one_place():
    folder = nvrtc.source_folder()
    texts = {path.name: path.read_text() for path in folder.rglob("*.*")}
    assert sorted(name for name, text in texts.items() if "asm" in text and name != "fiber.hpp") == [
        "ptx.cuh",
        "ptx_hopper.cuh",
    ]


@pytest.mark.parametrize("flags", ["", "-DKX_EMU_UCONTEXT"], ids=["own switch", "ucontext"])
@pytest.mark.parametrize("case", conformance.CASES, ids=lambda case: case.name)
def test_words_mean_what_they_must(case, flags):
    for seed in range(3):
        conformance.check(case, EmulatedDevice(flags=flags), seed)


def planted(case, old, new):
    """Return what becomes of a case after a change of its kernel."""
    assert TEXT.count(old) >= 1
    conformance.check(CASE[case], EmulatedDevice(), 0, TEXT.replace(old, new))


def test_a_missing_barrier_is_found():
    barrier = "sum;\n  __syncthreads();\n  if (threadIdx.x == 0)"
    with pytest.raises(LaunchError, match="depends on the order in which threads run"):
        planted("block_sums", barrier, barrier.replace("__syncthreads();", ""))


def test_a_wrong_wait_count_is_found():
    with pytest.raises(AssertionError, match="products differs by"):
        planted("products", "copy_async_wait<1>", "copy_async_wait<2>")


def test_a_missing_wait_is_found():
    with pytest.raises(LaunchError, match="exits with asynchronous copies that it has not waited for"):
        planted("products", "kx::copy_async_wait<0>();", ";")


def test_a_barrier_too_few_between_stages_is_found():
    end = "kx::multiply_bf16(sum, left, pair);\n    __syncthreads();"
    with pytest.raises(LaunchError, match="depends on the order in which threads run"):
        planted("products", end, end.replace("__syncthreads();", ""))


def test_products_of_a_warp_group_are_as_late_as_they_may_be():
    with pytest.raises(LaunchError, match="a tile changes while a warp group's product is on its way"):
        planted("group_products", "warp_group_wait<1>", "warp_group_wait<2>")
    with pytest.raises(LaunchError, match="does not come after its begin"):
        planted("group_products", "kx::warp_group_begin(sums);", "")
    with pytest.raises(AssertionError, match="group_products differs by"):
        planted("group_products", "(i % 64 / 8 ^ row % 8)", "(i % 64 / 8 ^ row % 4)")


def test_factors_of_a_warp_group_are_read_as_they_lie():
    for old, new in (
        (
            "kx::turned_descriptor(right_turned, 16 * k, kDeep * 128)",
            "kx::turned_descriptor(right_turned, 16 * k, 128)",
        ),
        ("i % 2 * 8) * kDeep + k * 16 + i / 2 * 8", "i / 2 * 8) * kDeep + k * 16 + i % 2 * 8"),
        (
            "kBrain, true, true>(s, a_turned(k), b_turned(k), k > 0)",
            "kBrain, true, true>(s, a_turned(k), b_turned(k), k > 1)",
        ),
    ):
        with pytest.raises(AssertionError, match="group_factors differs by"):
            planted("group_factors", old, new)
    with pytest.raises(LaunchError, match="a tile of a warp group's product is misaligned"):
        planted(
            "group_factors", "kx::turned_descriptor(left_turned, 16 * k, 0)", "kx::tile_descriptor(left_turned, 16 * k)"
        )


def test_barriers_in_shared_memory_that_are_used_wrongly_are_found():
    with pytest.raises(LaunchError, match="deadlock: thread 0 waits for a barrier in shared memory"):
        planted("relay", "if (lane == 0) empty[place].arrive();", "")
    wait = "if (!empty[place].over(parity ^ 1)) empty[place].wait(parity ^ 1);"
    with pytest.raises((AssertionError, LaunchError), match=r"relay differs by|depends on the order|deadlock"):
        planted("relay", wait, "")
    with pytest.raises((AssertionError, LaunchError), match=r"relay differs by|depends on the order|deadlock"):
        planted("relay", "full[place].wait(parity);", "")
    with pytest.raises(LaunchError, match="a barrier in shared memory is used before it is made"):
        planted("relay", "full[threadIdx.x].make(32), ", "")


COPIED = """
#include "ptx.cuh"
extern "C" __global__ void __launch_bounds__(128) copied(const kx::u16* x, float* out) {{
  kx::Shared shared;
  kx::u16* const tiles = shared.take<kx::u16>(2 * 64 * 64);
  float sums[8][4];
  for (kx::u32 tile = 0; tile < 2; ++tile) {{
    for (kx::u32 i = threadIdx.x; i < 512; i += 128)
      kx::copy_async_16(tiles + tile * 4096 + 8 * i, x + tile * 4096 + 8 * i);
    kx::copy_async_commit();
  }}
  {before}
  __syncthreads();
  kx::warp_group_begin(sums);
  kx::multiply_group<true, false, false>(sums, kx::tile_descriptor(tiles, 0), kx::tile_descriptor(tiles + 4096, 0),
                                         false);
  kx::warp_group_commit();
  {after}
  for (kx::u32 i = 0; i < 32; ++i) out[threadIdx.x * 32 + i] = sums[i / 4][i % 4];
}}
KX_ENTRY(copied)
"""
PUBLISHED = "kx::copy_async_wait<0>(); kx::warp_group_publish();"
MISSED = "a warp group's product begins with what thread .* has copied and not published"
CHANGED = "a tile changes while a warp group's product is on its way"
IN_FLIGHT = {
    "right": (None, PUBLISHED, ""),
    "not published": (MISSED, "kx::copy_async_wait<0>();", ""),
    "a group too many on its way": (MISSED, "kx::copy_async_wait<1>(); kx::warp_group_publish();", ""),
    "published before it is there": (MISSED, "kx::warp_group_publish(); kx::copy_async_wait<0>();", ""),
    "written too early": (CHANGED, PUBLISHED, "if (threadIdx.x == 70) tiles[4096 + 8 * 64] = 1;"),
    "copied to too early": (
        CHANGED,
        PUBLISHED,
        "if (threadIdx.x == 9) kx::copy_async_16(tiles, x); kx::copy_async_commit();",
    ),
}


@pytest.mark.parametrize("bug", IN_FLIGHT)
def test_tiles_must_be_there_before_a_product_of_a_warp_group_and_until_it_ends(bug):
    words, before, after = IN_FLIGHT[bug]
    text = COPIED.format(before=before, after=after + " kx::warp_group_wait<0>(sums); kx::copy_async_wait<0>();")
    kernel = EmulatedDevice().kernel(text, "copied")
    x = np.full(2 * 64 * 64, 0x3F80, np.uint16)  # ones
    out = np.zeros((128, 32), np.float32)
    with nullcontext() if words is None else pytest.raises(LaunchError, match=words):
        kernel(1, 128, 2 * 64 * 64 * 2, [x, out])
    assert words or (out == 16).all()


NEIGHBOURS = """
#include "ptx.cuh"
extern "C" __global__ void neighbours(kx::u32* values, kx::u32* arrived) {{
  const kx::u32 next = (blockIdx.x + 1) % gridDim.x * 64 + threadIdx.x;
  values[blockIdx.x * 64 + threadIdx.x] = threadIdx.x + 1;
  {wait}
  values[(gridDim.x + blockIdx.x) * 64 + threadIdx.x] = values[next];
}}
KX_ENTRY(neighbours)
"""
EARLY = "if (threadIdx.x == 0) {{ atomicAdd(arrived, 1u); kx::wait_for_blocks(arrived, {times}); }} __syncthreads();"


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ("kx::wait_for_all_blocks(arrived, 1);", None),
        (EARLY.format(times=2), "the result depends on the order in which threads run"),
        (EARLY.format(times=3), "deadlock: thread .* waits for other blocks"),
    ],
    ids=["right", "a block arrives before its threads", "nobody comes"],
)
def test_blocks_that_wait_for_each_other_see_what_all_threads_have_written(wait, words):
    device = EmulatedDevice()
    values, arrived = device.zeros(256, np.uint32), device.scratch(1, np.uint32)
    launch = device.kernel(NEIGHBOURS.format(wait=wait), "neighbours")
    with nullcontext() if words is None else pytest.raises(LaunchError, match=words):
        launch(2, 64, 0, [values, arrived], together=True)
    assert words or (values.reshape(4, 64) == np.arange(1, 65)).all()


def test_a_wrong_mask_is_found():
    with pytest.raises(LaunchError, match=r"the mask ffff0000 leaves out lane 15, .*block 0,0,0, thread 15"):
        planted("lanes", "half = lane < 16", "half = lane < 15")
    with pytest.raises(LaunchError, match="another collective or with another mask"):
        planted(
            "lanes",
            "__ballot_sync(half, mine & 1);\n    out[160",
            "__ballot_sync(kx::kAllLanes, mine & 1);\n    out[160",
        )


KERNEL = """
#include "ptx.cuh"
extern "C" __global__ void broken(kx::u32* out) {{
  kx::Shared shared;
  kx::u32* const kept = shared.take<kx::u32>(32);
  const kx::u32 lane = threadIdx.x;
  {body}
  out[lane] = kept[lane % 32];
}}
KX_ENTRY(broken)
"""
BROKEN = {
    "a barrier is not reached by thread 5, which exits": "if (lane == 5) return; __syncthreads();",
    "deadlock: thread 0 waits for a barrier": "if (lane != 7) __syncthreads(); else __syncwarp(129u);",
    "waits in another collective": "if (lane % 2) __syncwarp(); else __any_sync(kx::kAllLanes, 1);",
    "names lanes that have exited or are not there: ffff0000": "if (lane >= 16) return; __syncwarp(); __syncwarp();",
    "exits while others of its warp wait for it": "if (lane == 31) return; __syncwarp();",
    "a shuffle reads lane 20, which the mask 0000ffff leaves out": "if (lane < 16) __shfl_sync(0xFFFFu, lane, 20);",
    "an asynchronous copy of 16 bytes from .* is misaligned": "kx::copy_async_16(kept + lane, out);",
    "a row of a matrix at .* is misaligned": "kx::u32 t[4]; kx::load_matrix_x4(t, kept + lane);",
}


def run(body, shared=128, orders=range(3)):
    out = np.zeros(32, np.uint32)
    EmulatedDevice(orders=orders).kernel(KERNEL.format(body=body), "broken")(1, 32, shared, [out])
    return out


@pytest.mark.parametrize("words", BROKEN)
def test_what_would_hang_or_trap_on_a_device_is_fatal(words):
    failures = []
    for order in range(3):  # which thread is named depends on the order; that something is fatal does not
        with pytest.raises(LaunchError) as caught:
            run(BROKEN[words], orders=[order])
        failures.append(str(caught.value))
    assert any(re.search(words, each) for each in failures), failures


def test_shared_memory_that_was_not_asked_for_is_fatal():
    with pytest.raises(LaunchError, match="128 bytes of shared memory are used, of 64"):
        run("", shared=64)


def test_shared_memory_starts_as_poison():
    assert (run("") == 0xCDCDCDCD).all()
    assert (run("kept[lane] = lane;") == np.arange(32)).all()


@pytest.mark.parametrize("where", ["out - 1", "out + 1"])
def test_writing_beside_an_array_is_found(where):
    device = EmulatedDevice(orders=[0])
    out = device.upload(np.zeros(32, np.uint32))
    with pytest.raises(LaunchError, match="the kernel has written beside an array"):
        device.kernel(KERNEL.format(body=f"({where})[lane] = 7;"), "broken")(1, 32, 128, [out])


def test_launches_that_no_device_takes_are_refused():
    kernel = EmulatedDevice().kernel(KERNEL.format(body=""), "broken")
    for blocks, threads, shared in (1, 2048, 128), (0, 32, 128), (1, 32, 2**20):
        with pytest.raises(LaunchError, match=f"a launch of {blocks} blocks of {threads} threads"):
            kernel(blocks, threads, shared, [np.zeros(32, np.uint32)])


def test_what_a_kernel_leaves_out_is_seen():
    device = EmulatedDevice()
    out = device.empty(64, np.uint32)
    device.kernel(KERNEL.format(body="kept[lane] = lane;"), "broken")(1, 32, 128, [out])
    assert (out[:32] == np.arange(32)).all()
    assert (out[32:] == 0xCDCDCDCD).all()
