"""A TRON network for demonstrations, drills and tests: java-tron's HTTP API over a chain inside this process."""

from .chain import Reorganisation, Rules
from .devnet import Devnet, Funding
from .faults import HONEST, Chooser, Conduct, Reading, Request, Sending, View
from .nodes import Answer, Node

__all__ = [
    "HONEST",
    "Answer",
    "Chooser",
    "Conduct",
    "Devnet",
    "Funding",
    "Node",
    "Reading",
    "Reorganisation",
    "Request",
    "Rules",
    "Sending",
    "View",
]
