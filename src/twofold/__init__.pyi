from twofold.answering.system import System as System
from twofold.errors import TwofoldError as TwofoldError
from twofold.project import Project as Project
from twofold.types import Answer as Answer
from twofold.types import Document as Document
from twofold.types import Example as Example
from twofold.verdict.outcome import Verdict as Verdict

__version__: str
