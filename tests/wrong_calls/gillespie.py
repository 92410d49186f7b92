"""Wrong calls of the stem gillespie: (call, error, words of its message)."""

import numpy as np

import kxfast as kx

g = kx.gillespie
NET = g.ReactionNetwork({"A": 5}, ["A -> 0 @ 1"])
net, simulate, events = g.ReactionNetwork, g.simulate, g.simulate_events


def reaction(text, parameters=None):
    return lambda: net({"A": 5, "B": 0}, [text], parameters)


def arrays(species=("A", "B"), initial=(1, 2), reactants=((1, 0),), products=((0, 1),), rates=(1.0,), **keywords):
    return lambda: g.from_arrays(species, initial, reactants, products, rates, **keywords)


def system(*reaction):
    return lambda: g.System(2).add_reaction(*reaction)


# fmt: off
CALLS = [
    (lambda: net(["A"], []), TypeError, "species must be a mapping of names to initial counts; got list"),
    (lambda: net({}, []), ValueError, "species must have at least one name; got none"),
    (lambda: net({"A-B": 1}, []), ValueError, "species must have names of letters, digits and _; got 'A-B'"),
    (lambda: net({3: 1}, []), TypeError, "species must have names of type str; got int"),
    (lambda: net({"A": -1}, []), ValueError, "the counts of species must be at least 0; got -1"),
    (lambda: net({"A": 1.5}, []), TypeError, "the counts of species must be integers; got float64 with fractions"),
    (lambda: net({"A": float("nan")}, []), TypeError, "the counts of species must be integers; got float64 with NaN"),
    (lambda: net({"A": 2**53}, []), ValueError, "the counts of species must be at most 2**52; got 9007199254740992"),
    (lambda: net({"A": "many"}, []), TypeError, "the counts of species must be integers; got <U4"),
    (lambda: net({"A": 1}, "A -> 0 @ 1"), TypeError, "reactions must be a sequence of strings; got str"),
    (lambda: net({"A": 1}, [3]), TypeError, "reactions[0] must be a str such as 'S + E -> SE @ k'; got int"),
    (lambda: net({"A": 1}, [], {"A": 1}), ValueError, "parameters must not have a species' name; got 'A'"),
    (lambda: net({"A": 1}, [], {"k!": 1}), ValueError, "parameters must have names of letters, digits and _; got 'k!'"),
    (lambda: net({"A": 1}, [], {"k": "x"}), TypeError, "parameters['k'] must be a number; got str 'x'"),
    (lambda: net({"A": 1}, [], [1]), TypeError, "parameters must be a mapping of names to numbers; got list"),
    (lambda: net({"A": 1}, [], propensity="power"), ValueError, "propensity must be one of 'binomial', 'falling'; got"),
    (reaction("A -> B"), ValueError, "reactions[0] must be like 'S + E -> SE @ k'; got 'A -> B'"),
    (reaction("A = B @ 1"), ValueError, "reactions[0] must be like 'S + E -> SE @ k'; got 'A = B @ 1'"),
    (reaction("A <-> B @ 1"), ValueError, "reactions[0] must go one way; write 'A -> B @ k1' and 'B -> A @ k2' for 'A <-> B"),
    (reaction("A -> B -> A @ 1"), ValueError, "reactions[0] must be like 'S + E -> SE @ k'"),
    (reaction("A -> @ 1"), ValueError, "reactions[0] must have sides like '2 A + B', or 0; got 'A -> @ 1'"),
    (reaction("-1 A -> B @ 1"), ValueError, "reactions[0] must have sides like '2 A + B', or 0"),
    (reaction("0.5 A -> B @ 1"), ValueError, "reactions[0] must have sides like '2 A + B', or 0"),
    (reaction("A -> C @ 1"), ValueError, "reactions[0] must name species of the network; got 'C'"),
    (reaction("101 A -> B @ 1"), ValueError, "reactants must be at most 100; got 101"),
    (reaction("A -> 99999999999 B @ 1"), ValueError, "products must be at most 2147483647; got 99999999999"),
    (reaction("A -> B @ k"), ValueError, "the rate of reactions[0] must name species and parameters (A, B); got 'k'"),
    (reaction("A -> B @ -1"), ValueError, "the rate of reactions[0] must be at least 0; got -1"),
    (reaction("A -> B @ k", {"k": np.nan}), ValueError, "parameters['k'] must be finite; got nan"),
    (reaction("A -> B @ 1e999"), ValueError, "the rate of reactions[0] must be finite; got inf"),
    (reaction("A -> B @ 1 / 0"), ValueError, "the rate of reactions[0] must have a value; got an error: float"),
    (reaction("A -> B @ 2 A"), ValueError, "the rate of reactions[0] must be an arithmetic expression; got '2 A'"),
    (reaction("A -> B @ "), ValueError, "the rate of reactions[0] must be an arithmetic expression; got ''"),
    (reaction("A -> B @ open('x')"), ValueError, "the rate of reactions[0] must call one of exp, log, sqrt, abs, sin, cos, min"),
    (reaction("A -> B @ A.real"), ValueError, "the rate of reactions[0] must be arithmetic (+ - * / ** and functions)"),
    (reaction("A -> B @ exp(A, 2)"), ValueError, "the rate of reactions[0] must give exp 1 argument(s); got 2"),
    (reaction("A -> B @ tan(t)"), ValueError, "the rate of reactions[0] must call one of"),
    (reaction("A -> B @ A is B"), ValueError, "the rate of reactions[0] must be an arithmetic expression; got 'A is B'"),
    (reaction("A -> B @ " + "A + (" * 40 + "A" + ")" * 40), ValueError, "must need a stack of at most 32 values; got"),
    (reaction("A -> B @ " + "(" * 5000 + "A" + ")" * 5000), ValueError, "must have at most 10000 characters; got 1"),
    (reaction("A -> B @ " + "(" * 900 + "A" + ")" * 900), ValueError, "must be an arithmetic expression"),
    (arrays(species="AB"), TypeError, "species must be a sequence of names; got str"),
    (arrays(species=("A", "A")), ValueError, "species must have different names; got 'A' twice"),
    (arrays(initial=(1,)), ValueError, "initial must have shape (2,) to match 2 species; got (1,)"),
    (arrays(initial=(1, -2)), ValueError, "initial must be at least 0; got -2"),
    (arrays(initial=(1, 0.5)), TypeError, "initial must be integers; got float64 with fractions"),
    (arrays(reactants=(1, 0)), ValueError, "reactants must have shape (1, 2) to match 1 rates and 2 species; got (2,)"),
    (arrays(products=((0, -1),)), ValueError, "products must be at least 0; got -1"),
    (arrays(products=((0, 0.5),)), TypeError, "products must be integers; got float64 with fractions"),
    (arrays(rates=(-1.0,)), ValueError, "rates must be at least 0; got -1"),
    (arrays(rates=(np.nan,)), ValueError, "rates must be finite; got nan at index (0,)"),
    (arrays(rates=1.0), ValueError, "rates must have 1 dimensions; got shape ()"),
    (arrays(propensity="power"), ValueError, "propensity must be one of 'binomial', 'falling'; got str 'power'"),
    (lambda: simulate({"A": 5}, [1.0]), TypeError, "net must be a ReactionNetwork; got dict"),
    (lambda: simulate(NET, 1.0), ValueError, "t must have 1 dimensions; got shape ()"),
    (lambda: simulate(NET, []), ValueError, "t must have at least one time; got none"),
    (lambda: simulate(NET, [0, 2, 1]), ValueError, "t must be increasing; got 1 after 2 at index 2"),
    (lambda: simulate(NET, [1, 1]), ValueError, "t must be increasing; got 1 after 1 at index 1"),
    (lambda: simulate(NET, [-1, 1]), ValueError, "t must be at least 0; got -1"),
    (lambda: simulate(NET, [0, np.inf]), ValueError, "t must be finite; got inf at index (1,)"),
    (lambda: simulate(NET, ["soon"]), TypeError, "t must be float32 or float64; got <U4"),
    (lambda: simulate(NET, [1], n=0), ValueError, "n must be at least 1; got 0"),
    (lambda: simulate(NET, [1], n=2.0), TypeError, "n must be an int; got float 2.0"),
    (lambda: simulate(NET, [1], seed=-1), ValueError, "seed must be at least 0; got -1"),
    (lambda: simulate(NET, [1], seed="x"), TypeError, "seed must be an int; got str 'x'"),
    (lambda: simulate(NET, [1], threads=0), ValueError, "threads must be at least 1; got 0"),
    (lambda: simulate(NET, [1], averages=True), ValueError, "t must have at least two times to average between; got 1"),
    (lambda: simulate(NET, [1], averages=1), TypeError, "averages must be True or False; got int 1"),
    (lambda: simulate(NET, [1], progress="yes"), TypeError, "progress must be True or False; got str 'yes'"),
    (lambda: simulate(NET, [1], executor=3), TypeError, "executor must be a concurrent.futures.Executor or None"),
    (lambda: g.read_bngl_net("none.net"), FileNotFoundError, "path must be an existing file; got 'none.net'"),
    (lambda: g.read_bngl_net(3), TypeError, "path must be a path; got"),
    (lambda: simulate(NET, [1], until=3), TypeError, "until must be a str such as 'A >= 10'; got int"),
    (lambda: simulate(NET, [1], until="B > 3"), ValueError, "until must name species and parameters (A); got 'B'"),
    (lambda: simulate(NET, [1], until="t > 3"), ValueError, "until must not depend on the time t"),
    (lambda: simulate(NET, [1, 2], until="A > 3", averages=True), ValueError,
     "averages must be False where until ends trajectories"),
    (lambda: simulate(NET, [1], method="euler"), ValueError, "method must be one of 'auto', 'direct', 'first"),
    (lambda: simulate(NET, [1], method=1), TypeError, "method must be one of 'auto', 'direct'"),
    (lambda: events(NET, 1.0, method="tau_leaping"), kx.BackendError, "no backend has method 'tau_leaping'; available:"),
    (lambda: simulate(NET, [1], method="tau_leaping", until="A > 3"), ValueError,
     "method must be an exact one for until; got 'tau_leaping'"),
    (lambda: simulate(NET, [1], start=[-1, 2]), ValueError, "start must be at least 0; got -1"),
    (lambda: simulate(NET, [1], epsilon=0), ValueError, "epsilon must be above 0; got 0"),
    (lambda: g.histograms(NET, [1], n=2, bins=0), ValueError, "bins must be from 1 to 2.14748e+09; got 0"),
    (lambda: g.histograms(NET, [1], n=2, width=0), ValueError, "width must be from 1 to"),
    (lambda: simulate(NET, [1], method="rssa", backend="reference"), kx.BackendError,
     "backend 'reference' cannot serve gillespie.simulate: it has no method 'rssa'; available:"),
    (lambda: simulate(NET, [1], backend="numba"), kx.BackendError, "backend 'numba' cannot serve gillespie.simulate"),
    (lambda: simulate(NET, [1], backend="fortran"), ValueError, "backend must be one of native, numba, cuda"),
    (lambda: g.moments(NET, [1], n=1), ValueError, "n must be at least 2; got 1"),
    (lambda: events(NET), ValueError, "t_end or max_events must be given; got neither"),
    (lambda: events(NET, -1.0), ValueError, "t_end must be at least 0; got -1"),
    (lambda: events(NET, np.nan), ValueError, "t_end must be finite; got nan"),
    (lambda: events(NET, max_events=-1), ValueError, "max_events must be from 0 to"),
    (lambda: events(NET, max_events=1.5), TypeError, "max_events must be an int; got float 1.5"),
    (lambda: g.example("nothing"), ValueError, "name must be one of 'birth_death', 'dimerisation'"),
    (lambda: g.read_json("no/such/file.json"), FileNotFoundError, "path must be an existing file; got 'no/such/file"),
    (lambda: g.read_json(__file__), ValueError, "gillespie.py: the file must be JSON; got Extra data"),
    (lambda: g.read_sbml("no/such/file.xml"), FileNotFoundError, "path must be an existing file; got 'no/such/file"),
    (lambda: g.System(0), ValueError, "num_elements must be at least 1; got 0"),
    (system(1.0, [1], [0, 1]), ValueError, "num_lefts must have shape (2,) to match 2 elements; got (1,)"),
    (system(1.0, [1, 0], [0, 1, 0]), ValueError, "num_rights must have shape (2,) to match 2 elements; got (3,)"),
    (system(-1.0, [1, 0], [0, 1]), ValueError, "rate must be at least 0; got -1"),
    (lambda: g.System(2).evolute(-1), ValueError, "steps must be at least 0; got -1"),
    (lambda: g.System(2).evolute(5, [1]), ValueError, "inits must have shape (2,) to match 2 elements; got (1,)"),
]
