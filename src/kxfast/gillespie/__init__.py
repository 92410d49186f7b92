"""Exact stochastic simulation of reaction networks (article 5607 of kexue.fm)."""

from kxfast.gillespie.arrays import from_arrays
from kxfast.gillespie.bngl import read_bngl_net
from kxfast.gillespie.carried import EventState
from kxfast.gillespie.logs import simulate_events
from kxfast.gillespie.models import example, read_json
from kxfast.gillespie.moments import histograms, moments
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.sbml import read_sbml
from kxfast.gillespie.simulate import simulate
from kxfast.gillespie.system import System
from kxfast.gillespie.trajectories import EventLog, Histograms, Moments, Trajectories

__all__ = [
    "EventLog",
    "EventState",
    "Histograms",
    "Moments",
    "ReactionNetwork",
    "System",
    "Trajectories",
    "example",
    "from_arrays",
    "histograms",
    "moments",
    "read_bngl_net",
    "read_json",
    "read_sbml",
    "simulate",
    "simulate_events",
]
