"""Networks in BioNetGen's ``.net`` files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from os import PathLike

import numpy as np

from kxfast import checks
from kxfast.gillespie.expressions import NUMBER, SPECIES, Program, compile_expression
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.notation import Reaction, check_counts

_BLOCK = re.compile(r"begin\s+(.*\S)")
_NAME = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(\(\s*\))?")
# Rate laws by name: their parameters and the propensity, of the first reactant's count S and the second one's, E.
_LAWS = {
    "Sat": (("k", "K"), "({k}) * {S} / (({K}) + {S})"),
    "Hill": (("k", "K", "h"), "({k}) * {S} ** ({h}) / (({K}) ** ({h}) + {S} ** ({h}))"),
    "MM": (("k", "K"), "({k}) * {free} / (({K}) + {free})"),
}
_FREE = "(0.5 * ({S} - ({K}) - {E} + sqrt(({S} - ({K}) - {E}) ** 2 + 4 * ({K}) * {S})))"  # substrate that is not bound
_SPELLING = {"ln": "log", "time": "t", "t": "t_"}  # BioNetGen's t is a name like others


def read_bngl_net(path: str | PathLike[str]) -> ReactionNetwork:
    """Read a network from a ``.net`` file as BioNetGen writes it.

    Parameters, functions, species, reactions and groups are read; a rate is a number, a parameter, an expression of
    them, or a function, of groups too. A rate constant multiplies ``n (n - 1)`` where a reaction takes two of a
    species: BioNetGen writes the factor 1/2 of such a rule itself. Initial amounts are rounded to whole molecules, as
    BioNetGen's own simulator does. A species marked ``$`` keeps its count. Of reactants S, E, ... that differ, the rate
    laws ``Sat k K``, k S E / (K + S), and ``Hill k K h``, k S^h E / (K^h + S^h), are read, and ``MM k K`` of the two,
    which puts the substrate that is not bound in S's place. Functions that expressions do not have are refused.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    ReactionNetwork
        ``species`` are BioNetGen's patterns, such as ``"EGF(r)"``. Rates without a function are constants.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it does not hold a network; the message names the line.

    Notes
    -----
    Source: M. L. Blinov et al., Bioinformatics 20 (2004) 3289; the files of BioNetGen 2.

    Examples
    --------
    >>> import pathlib, tempfile, kxfast as kx
    >>> text = '''begin parameters
    ... 1 kon 0.5
    ... end parameters
    ... begin species
    ... 1 A(b) 20
    ... 2 A(b!1).A(b!1) 0
    ... end species
    ... begin reactions
    ... 1 1,1 2 0.5*kon #dimerise
    ... end reactions'''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "dimer.net"
    ...     _ = path.write_text(text)
    ...     print(kx.gillespie.read_bngl_net(path).reactions)
    ('2 A(b) -> A(b!1).A(b!1) @ 0.5',)

    """
    file = checks.readable_file("path", path)
    try:
        reader = _Reader(file.read_text(encoding="utf-8"))
        return reader.network()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file.name}: {error}") from None


def _blocks(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return the lines of each block, without comments, and where they stand."""
    blocks: dict[str, list[tuple[str, str]]] = {}
    lines: list[tuple[str, str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        begin = _BLOCK.fullmatch(content)
        if begin is not None:
            lines = blocks.setdefault(begin[1], [])
        elif content.startswith("end "):
            lines = None
        elif content and lines is not None:
            lines.append((f"line {number}", content))
    return blocks


class _Reader:
    def __init__(self, text: str) -> None:
        blocks = _blocks(text)
        for block in "species", "reactions":
            if block not in blocks:
                raise ValueError(f"the file must have a block of {block}; got {', '.join(blocks) or 'none'}")
        self.blocks = blocks
        self.parameters = {"_pi": math.pi, "_e": math.e}
        self.words: dict[str, str] = {}  # what groups and functions stand for
        self.index: dict[str, int] = {}  # of S1, S2, ... in expressions
        self.rates: dict[str, Program] = {}

    def _fields(self, block: str, count: int) -> Iterator[tuple[str, list[str]]]:
        """Yield the fields of a block's lines: the index, `count` - 1 words, and the rest."""
        for place, line in self.blocks.get(block, ()):
            fields = line.split(None, count)
            if len(fields) <= count:
                raise ValueError(f"{place} must have an index and {count} fields; got {line!r}")
            yield place, fields

    def network(self) -> ReactionNetwork:
        for place, (_, name, text) in self._fields("parameters", 2):
            self.parameters[_SPELLING.get(name, name)] = self._number(text, place)
        names: list[str] = []
        initial: list[int] = []
        fixed: set[int] = set()
        for place, (number, name, text) in self._fields("species", 2):
            if "$" in name:
                fixed.add(len(names))
            names.append(name.replace("$", ""))
            initial.append(math.floor(self._number(text, place) + 0.5))
            self.index[f"S{number}"] = len(names) - 1
        if not names:
            raise ValueError("the file must have at least one species; got none")
        if len(set(names)) < len(names):
            raise ValueError(f"species must be different; got {next(n for n in names if names.count(n) > 1)!r} twice")
        for place, (_, name, text) in self._fields("groups", 2) if self.blocks.get("functions") else ():
            self.words[name] = self._group(text, place)
        for _, (_, name, text) in self._fields("functions", 2):
            self.words[name.removesuffix("()")] = f"({self._expanded(text)})"
        reactions = [self._reaction(place, fields, names, fixed) for place, fields in self._fields("reactions", 3)]
        return ReactionNetwork.from_reactions(names, check_counts("species", np.array(initial), names), reactions)

    def _group(self, text: str, place: str) -> str:
        terms = []
        for term in text.split(","):
            weight, star, species = term.rpartition("*")
            if f"S{species}" not in self.index:
                raise ValueError(f"{place} must name species by number; got {term!r}")
            terms.append(f"{weight}{star}S{species}")
        return f"({' + '.join(terms)})"

    def _expanded(self, text: str) -> str:
        def word(match: re.Match[str]) -> str:
            name = match[1]
            return self.words.get(name, _SPELLING.get(name, name) + ("" if name == "time" else match[2] or ""))

        return _NAME.sub(word, text).replace("^", "**")

    def _program(self, text: str, place: str) -> Program:
        if text not in self.rates:
            self.rates[text] = compile_expression(self._expanded(text), self.index, self.parameters, place, time=True)
        return self.rates[text]

    def _number(self, text: str, place: str) -> float:
        try:
            return float(text)
        except ValueError:
            pass
        program = compile_expression(self._expanded(text), {}, self.parameters, place)
        return program[0].value  # one number is left where there are no species

    def _reaction(self, place: str, fields: list[str], names: list[str], fixed: set[int]) -> Reaction:
        reactants, products = (self._side(text, place) for text in fields[1:3])
        rate = fields[3]
        law = self._program(self._law(place, rate, reactants), place) if rate.split()[0] in _LAWS else ()
        for s in fixed:  # what is fixed stands on both sides alike
            products.pop(s, None)
            if s in reactants:
                products[s] = reactants[s]
        sides = [{names[s]: k for s, k in side.items()} for side in (reactants, products)]
        if law:
            return Reaction(sides[0], sides[1], math.nan, law)
        program = self._program(rate, place)
        if len(program) > 1 or program[0].op == SPECIES:
            label = {s: name for name, s in self.index.items()}
            falling = [f"({label[s]} - {k})" for s, count in reactants.items() for k in range(count)]
            return Reaction(sides[0], sides[1], math.nan, self._program(" * ".join([f"({rate})", *falling]), place))
        if program[0].op == NUMBER and not (math.isfinite(program[0].value) and program[0].value >= 0):
            raise ValueError(f"{place} must have a rate that is finite and at least 0; got {program[0].value:g}")
        return Reaction(sides[0], sides[1], program[0].value * math.prod(map(math.factorial, reactants.values())))

    def _law(self, place: str, rate: str, reactants: dict[int, int]) -> str:
        """Return the propensity of a rate law that has a name."""
        name, *given = rate.split()
        names, formula = _LAWS[name]
        if len(given) != len(names):
            raise ValueError(f"{place} must give {name} {len(names)} parameters; got {len(given)}")
        if not reactants or max(reactants.values()) > 1 or (name == "MM" and len(reactants) != 2):
            wanted = "a substrate and an enzyme" if name == "MM" else "reactants"
            raise ValueError(f"{place} must have {wanted} that differ for the rate law {name}")
        label = {s: text for text, s in self.index.items()}
        counts = [label[s] for s in reactants]
        words = dict(zip(names, given, strict=True)) | {"S": counts[0], "E": counts[-1]}
        return " * ".join([formula.format(**words, free=_FREE.format(**words) if name == "MM" else ""), *counts[1:]])

    def _side(self, text: str, place: str) -> dict[int, int]:
        side: dict[int, int] = {}
        for each in () if text == "0" else text.split(","):
            s = self.index.get(f"S{each}")
            if s is None:
                raise ValueError(f"{place} must name species by number; got {each!r}")
            side[s] = side.get(s, 0) + 1
        return side
