"""`python -m daemon.cli` is the command `ffspool`."""

from daemon.cli.main import main

main(prog_name="ffspool")
