"""What machine code for a GPU says of its kernels: registers, memory of a thread and of a block.

A cubin is an ELF file. The section .nv.info holds attributes of functions: a byte of form, one of kind, two of size,
and for form 4 so many bytes behind them, a symbol's number first. Kernels are the symbols that have a .text section.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_OF_SIZE = 4  # the form with bytes behind
_RESERVED = 1024  # bytes of a block that the driver takes; from compute capability 9.0 on the file counts them
_INSTRUCTION = 16  # bytes
_FRAME, _STACK, _REGISTERS, _THREADS = 0x11, 0x12, 0x2F, 0x05  # kinds


class Resources(NamedTuple):
    """Of one kernel; `local` are bytes of a thread's own memory, which spilled registers and stacks take."""

    registers: int
    local: int
    shared: int  # bytes of a block that are not asked for at the launch
    threads: int  # of a block, at most
    instructions: int


def resources(cubin: bytes) -> dict[str, Resources]:
    """Return what each kernel takes."""
    if cubin[:4] != b"\x7fELF":
        raise ValueError(f"cubin must be an ELF file; it begins with {cubin[:4]!r}")
    begin, flags = struct.unpack_from("<QI", cubin, 40)
    reserved = _RESERVED if flags >> 8 & 0xFF >= 90 else 0
    size, count, of_names = struct.unpack_from("<HHH", cubin, 58)
    headers = [struct.unpack_from("<IIQQQQII", cubin, begin + size * i) for i in range(count)]
    names = _part(cubin, headers[of_names])
    sections = {_text(names, header[0]): header for header in headers}
    strings, symbols = (_part(cubin, sections[name]) for name in (".strtab", ".symtab"))
    of_symbol = [_text(strings, struct.unpack_from("<I", symbols, at)[0]) for at in range(0, len(symbols), 24)]
    found: dict[str, dict[int, int]] = {}
    for kind, (symbol, *rest) in _attributes(_part(cubin, sections[".nv.info"])):
        found.setdefault(of_symbol[symbol], {})[kind] = rest[0]
    result = {}
    for section in sections:
        if not section.startswith(".text."):
            continue
        name = section.removeprefix(".text.")
        own = dict(_attributes(_part(cubin, sections[f".nv.info.{name}"])))
        shared = max(0, sections.get(f".nv.shared.{name}", (0,) * 8)[5] - reserved)
        local = max(found[name].get(_FRAME, 0), found[name].get(_STACK, 0))
        threads = own[_THREADS][0] * own[_THREADS][1] * own[_THREADS][2] if _THREADS in own else 1024
        instructions = sections[section][5] // _INSTRUCTION
        result[name] = Resources(found[name][_REGISTERS], local, shared, threads, instructions)
    return result


def _part(cubin: bytes, header: tuple[int, ...]) -> bytes:
    return cubin[header[4] : header[4] + header[5]]


def _text(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()


def _attributes(section: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """Return kinds of attributes and the numbers of 32 bits behind them."""
    at, found = 0, []
    while at < len(section):
        form, kind, size = struct.unpack_from("<BBH", section, at)
        at += 4
        if form == _OF_SIZE:
            found.append((kind, struct.unpack_from(f"<{size // 4}I", section, at)))
            at += size
    return found
