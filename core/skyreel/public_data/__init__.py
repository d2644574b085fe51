"""Public inputs of other people: where they are, what they must contain, how to cite them; downloaded on request and never silently."""

from skyreel.public_data.checks import Found
from skyreel.public_data.inputs import INPUTS, PublicInput, RemoteFile, Repository, find
from skyreel.public_data.store import folder, get, inspect, root

__all__ = ["INPUTS", "Found", "PublicInput", "RemoteFile", "Repository", "find", "folder", "get", "inspect", "root"]
