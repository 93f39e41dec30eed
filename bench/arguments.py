"""What the scripts of this folder have in common: --help is their documentation; of an argument that is wrong one line says what, and the
exit status is 2."""
import argparse


class Arguments(argparse.ArgumentParser):
    def __init__(self, documentation):
        super().__init__(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; --help says more\n")
