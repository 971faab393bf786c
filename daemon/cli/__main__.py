"""Makes `python -m daemon.cli` the command `ffspool`."""

from daemon.cli.main import main

main(prog_name="ffspool")
