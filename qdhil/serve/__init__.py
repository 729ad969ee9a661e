"""The verdict endpoint: what a folder of attestations says, over HTTP, for whoever installs firmware."""

from qdhil.serve.answer import Answer, Question
from qdhil.serve.folder import AttestationFolder
from qdhil.serve.limits import Limits
from qdhil.serve.routes import Routes
from qdhil.serve.server import VerdictServer
from qdhil.serve.tokens import Tokens

__all__ = ["Answer", "AttestationFolder", "Limits", "Question", "Routes", "Tokens", "VerdictServer"]
