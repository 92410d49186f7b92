"""What happens to a network besides reactions: events, and conditions that end a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kxfast.gillespie.expressions import SPECIES, TIME, Program, compile_expression, operands

_COMPARISONS = (15, 16, 17)


class Event(NamedTuple):
    """An event: when `trigger` becomes true, places of the state are assigned, maybe after a delay."""

    name: str
    trigger: Program
    assignments: tuple[tuple[int, Program], ...]  # place in the state (species, then variables), value
    delay: Program = ()
    priority: Program = ()
    initial: bool = False  # whether the trigger counts as true before the start
    persistent: bool = True  # whether the event stays due when its trigger is false again
    early: bool = True  # whether values are those of the time of the trigger, not of the end of the delay


def time_switches(program: Program, species: int, name: str) -> list[Program]:
    """Return programs of the times at which comparisons with the time may change.

    The time must be compared with something that only events change; `species` is the number of species, which come
    before variables in the state.
    """
    stack: list[Program] = []
    found: list[Program] = []
    for step in program:
        count = operands(step.op)
        taken = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        timed = [any(each.op == TIME for each in part) for part in taken]
        if step.op in _COMPARISONS and any(timed):
            (other, alone) = (taken[1], taken[0]) if timed[0] else (taken[0], taken[1])
            reads = [each for each in other if each.op == TIME or (each.op == SPECIES and each.value < species)]
            if len(alone) > 1 or reads:
                raise ValueError(f"{name} must compare the time itself with parameters")
            found.append(other)
            stack.append(())
        else:
            stack.append((*(step for part in taken for step in part), step))
    if any(step.op == TIME for step in stack[0]):
        raise ValueError(f"{name} must use the time in comparisons alone")
    return found


def control_arrays(
    variables: Mapping[str, float], events: Sequence[Event], species: int, until: Program = ()
) -> tuple[Any, ...]:
    """Return what backends take: (variables, begin, ops, numbers, events, assignments, switches, watches).

    Program p is ``ops[begin[p]:begin[p + 1]]`` with as many ``numbers``; the first `watches` are conditions: the
    triggers, then `until` if there is one. A row of events is (delay, priority, first and end of its assignments,
    initial, persistent, early), of assignments (place in the state, program); -1 stands for no program.
    """
    programs = [event.trigger for event in events] + ([until] if until else [])
    watches = len(programs)

    def place(program: Program) -> int:
        programs.append(program)
        return len(programs) - 1 if program else -1

    rows = []
    assignments: list[tuple[int, int]] = []
    for event in events:
        first = len(assignments)
        assignments += [(target, place(program)) for target, program in event.assignments]
        flags = (event.initial, event.persistent, event.early)
        rows.append((place(event.delay), place(event.priority), first, len(assignments), *flags))
    switches = [
        place(program)
        for event in events
        for program in time_switches(event.trigger, species, f"the trigger of event {event.name!r}")
    ]
    return (
        np.array([*variables.values()], np.float64),
        *flat(programs),
        np.array(rows, np.int64).reshape(-1, 7),
        np.array(assignments, np.int64).reshape(-1, 2),
        np.array(switches, np.int64),
        watches,
    )


def flat(programs: Iterable[Program]) -> tuple[Any, Any, Any]:
    """Return programs one after the other: where each begins, operations, numbers."""
    every = list(programs)
    steps = [step for program in every for step in program]
    begin = np.cumsum([0, *map(len, every)], dtype=np.int64)
    return begin, np.array([step.op for step in steps], np.int64), np.array([step.value for step in steps], np.float64)


def compile_until(until: Any, index: Mapping[str, int], parameters: Mapping[str, float]) -> Program:
    """Return the program of a condition that ends a trajectory; none for None."""
    if until is None:
        return ()
    if not isinstance(until, str):
        raise TypeError(f"until must be a str such as 'A >= 10'; got {type(until).__name__}")
    return compile_expression(until, index, parameters, "until")
