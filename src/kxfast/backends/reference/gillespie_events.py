"""Events of a network, and the condition that ends a trajectory (SBML Level 3 Core, section 4.11).

Control is the tuple (variables (V,), begin, ops, numbers, events (E, 7), assignments (A, 2), switches, watches): the
first `watches` programs are conditions, the triggers of the events and maybe one that ends the trajectory; a row of
events is (delay, priority, first and end of its assignments, initial, persistent, early). An event whose trigger
becomes true is due after its delay; of those due the one of highest priority is carried out, a random one of equals,
and conditions are looked at again after each. A condition that compares the time is asked an instant later.

What n trajectories hold when they are left, to be gone on from, is the tuple (variables (n, V), truth (n, E), begin
(n + 1,), due (P,), event (P,), values (P, W)): delayed events begin[i] to begin[i + 1] are those of trajectory i, in
the order in which they were triggered, each due at a time and with the values that were computed when it was triggered
if those count; a row of values is filled up to the largest number of assignments, W.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast.backends.reference.gillespie_expressions import Array, evaluate

_MOST_AT_ONCE = 10_000
Held = tuple[Array, Array, Array, Array, Array, Array]


class Director:
    """The events of one trajectory: which triggers are true, and what is due when."""

    def __init__(self, control: tuple[Any, ...], state: Array, species: int, rng: np.random.Generator) -> None:
        _, self.begin, self.ops, self.numbers, self.events, self.assignments, self.switches, watches = control
        self.state, self.species, self.rng = state, species, rng
        self.truth = [bool(event[4]) for event in self.events] + [False] * (watches - len(self.events))
        self.pending: list[tuple[float, int, list[float] | None]] = []

    def resume(self, held: Held, i: int) -> None:
        """Take up what trajectory i held when it was left."""
        variables, truth, begin, due, events, values = held
        self.state[self.species :] = variables[i]
        self.truth[: len(self.events)] = truth[i].tolist()
        for k in range(begin[i], begin[i + 1]):
            _, _, first, end, _, _, early = self.events[events[k]]
            self.pending.append((due[k], events[k], values[k, : end - first].tolist() if early else None))

    def value(self, program: int, t: float) -> float:
        part = slice(self.begin[program], self.begin[program + 1])
        return float(evaluate(self.ops[part], self.numbers[part], self.state, t))

    def conditions(self, t: float) -> list[bool]:
        after = float(np.nextafter(t, np.inf))
        return [self.value(i, after) != 0 for i in range(len(self.truth))]

    def settle(self, t: float) -> bool:
        """Carry out what is due at the time t; whether the trajectory ends there."""
        for _ in range(_MOST_AT_ONCE):
            self.look_at_conditions(t)
            if len(self.truth) > len(self.events) and self.truth[-1]:
                return True
            due = [each for each in self.pending if each[0] <= t]
            if not due:
                return False
            programs = [self.events[event, 1] for _, event, _ in due]
            priorities = [self.value(program, t) if program >= 0 else -np.finfo(float).max for program in programs]
            best = [i for i, priority in enumerate(priorities) if priority == max(priorities)]
            chosen = due[best[0] if len(best) == 1 else best[int(self.rng.random() * len(best))]]
            self.pending.remove(chosen)
            self.carry_out(chosen[1], chosen[2], t)
        raise ValueError(f"events must come to rest; got {_MOST_AT_ONCE} of them at t = {t:g}")

    def look_at_conditions(self, t: float) -> None:
        before, self.truth = self.truth, self.conditions(t)
        for e, event in enumerate(self.events):
            if self.truth[e] and not before[e]:
                delay = self.value(event[0], t) if event[0] >= 0 else 0.0
                self.pending.append((t + max(0.0, delay), e, self.values(event, t) if event[6] else None))
            elif before[e] and not self.truth[e] and not event[5]:
                self.pending = [each for each in self.pending if each[1] != e]

    def values(self, event: Array, t: float) -> list[float]:
        return [self.value(program, t) for _, program in self.assignments[event[2] : event[3]]]

    def carry_out(self, e: int, values: list[float] | None, t: float) -> None:
        event = self.events[e]
        for (target, _), to in zip(self.assignments[event[2] : event[3]], values or self.values(event, t), strict=True):
            good = np.isfinite(to) and (
                target >= self.species or (to >= 0 and abs(to - round(to)) <= 1e-9 * max(1, to))
            )
            if not good:
                raise ValueError(
                    f"an event must assign a finite number, to a species a whole one; got {to:g} for place {target} of "
                    f"the state at t = {t:g}"
                )
            self.state[target] = round(to) if target < self.species else to

    def next_stop(self, t: float) -> float:
        times = [when for when, _, _ in self.pending] + [self.value(program, t) for program in self.switches]
        return min((when for when in times if when > t), default=np.inf)


def held(directors: list[Director], control: tuple[Any, ...]) -> Held:
    """What trajectories hold when they are left."""
    events = control[4]
    pending = [each for director in directors for each in director.pending]
    values = np.zeros((len(pending), int(np.max(events[:, 3] - events[:, 2], initial=0))))
    for row, (_, _, taken) in zip(values, pending, strict=True):
        row[: len(taken or ())] = taken or ()
    return (
        np.array([director.state[director.species :] for director in directors], np.float64),
        np.array([director.truth[: len(events)] for director in directors], np.bool_),
        np.cumsum([0, *(len(director.pending) for director in directors)], dtype=np.int64),
        np.array([when for when, _, _ in pending], np.float64),
        np.array([event for _, event, _ in pending], np.int64),
        values,
    )
