"""What the benchmarks share: a ratio is the median of the ratios of rounds."""

import time

from benchmarks import harness


def test_what_slows_a_round_changes_no_ratio():
    medians = harness.Medians({"ours": [1.0, 10.0, 1.0, 1.0], "theirs": [2.0, 20.0, 20.0, 2.0]})
    assert medians == {"ours": 1.0, "theirs": 11.0}
    assert medians.ratio("theirs", "ours") == 2.0
    rows = harness.report("a job", medians, "ours", 1e6, "call")
    assert [(row["name"], row["seconds"], row["ratio"]) for row in rows] == [("ours", 1.0, 1.0), ("theirs", 11.0, 2.0)]


def test_calls_take_turns_until_their_budget_is_used():
    seen = []

    def call(name):
        seen.append(name)
        time.sleep(0.06)  # longer than what is repeated

    medians = harness.in_turn({"a": lambda: call("a"), "b": lambda: call("b")}, 3, budget=0.1)
    assert seen == ["a", "b", "a", "b", "a", "b"]
    assert [len(taken) for taken in medians.times.values()] == [2, 2]
