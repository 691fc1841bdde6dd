"""klamm as a program whose broker or tools take part in a check."""
import os
import pathlib

import peer


class Klamm:
    name = "klamm"

    def __init__(self):
        self.program = pathlib.Path(os.environ.get("KLAMM", peer.ROOT / "build/klamm"))

    def command(self, tool, *arguments):
        if not self.program.exists():
            raise peer.Failure(f"{self.program} does not exist: ./dev build")
        return [str(self.program), tool, *arguments]
