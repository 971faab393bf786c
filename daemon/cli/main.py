"""Is the command `ffspool`. Commands import what they need when they run: `--help` answers at once."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from daemon.cli import backup, cluster, control, download, jobs, plan, presets, run, tokens, watch, watched, webhooks
from daemon.cli.options import (
    as_json,
    echo,
    ffmpeg,
    grace,
    load_library,
    load_settings,
    load_tables,
    print_json,
    slots,
    state_dir,
)
from daemon.errors import FfspoolError, InvalidRequest, Misconfigured
from daemon.plaintext import visible

ENDLESS = 1000  # letters: no sentence is that long
LISTINGS = {  # by what errors say that there is none of, or another
    "token named": "ffspool tokens ls",
    "no folder is watched": "ffspool folders",
    "no machine": "ffspool machines",
    "no delivery": "ffspool webhooks",
}
FAILED, USAGE, NO_DAEMON, REFUSED, INTERRUPTED = 1, 2, 3, 4, 130


class Commands(click.Group):
    """Turns what a command raises into words on stderr and an exit code; lists commands as they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Writes what each command does in a whole sentence, folded where need be."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(ENDLESS)) for name, command in self.commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):  # Abort is a no to a question
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would break into the end
            sys.exit(INTERRUPTED)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise click.UsageError(_folded(error.format_message() + _if_a_file(error)), error.ctx) from error
        except FfspoolError as error:
            _complain(error)
            sys.exit(_exit_code(error))
        except OSError as error:
            if error.errno == errno.EPIPE:  # click knows what to do when the reader of a pipe has gone
                raise
            _complain(error)
            sys.exit(FAILED)


def _if_a_file(error: click.UsageError) -> str:
    """Says how a file is named that looks like an option."""
    takes_files = error.ctx is not None and any(param.name == "files" for param in error.ctx.command.params)
    if not takes_files or not isinstance(error, click.NoSuchOption):
        return ""
    return f" If it is the beginning of a file's name, write ./{error.option_name}… or, for all files here, ./*"


def _exit_code(error: FfspoolError) -> int:
    if error.code == "no_daemon":
        return NO_DAEMON
    if isinstance(error, Misconfigured):
        return USAGE
    if error.code in {"startup", "broken_transfer"}:
        return FAILED
    return USAGE if error.status == InvalidRequest.status else REFUSED  # whether we found it or the daemon did


def _folded(words: str) -> str:
    """Folds words between words, as they are to stand behind click's "Error: "."""
    from daemon.cli.terminal import console

    begin = "Error: "
    return click.wrap_text(begin + visible(words), console(sys.stderr).width).removeprefix(begin)


def _complain(error: Exception) -> None:
    from daemon.cli.terminal import console, say

    words = f"ffspool: {error}{_advice(error)}".replace("\n", "\n  ")  # a name in it begins no line of its own
    say(console(sys.stderr), words)


def _advice(error: Exception) -> str:
    """Says which command tells more, of the job that it is about where that is known."""
    code, job = getattr(error, "code", None), getattr(error, "job", None)
    if advice := getattr(error, "advice", None):
        return f". {advice}"
    if code == "not_found" and job and f"no job {job}" not in str(error):
        return f". `ffspool show {job}` tells what it has"
    listing = next((command for word, command in LISTINGS.items() if word in str(error)), None)
    if code in {"not_found", "conflict"} and listing:
        return f". `{listing}` tells which there are"
    if code == "not_found":
        return ". `ffspool ls` tells what there is"
    if code == "conflict":
        return f". `ffspool show {job}` tells how it stands" if job else ". `ffspool ls` tells how they stand"
    return ""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ffspool", message="%(prog)s %(version)s")
def main() -> None:
    """Transcodes batches of media files with FFmpeg.

    `ffspool run` does it right here; `ffspool serve` starts a daemon to which jobs are submitted.

    Exit codes: 0 done, 1 a job or variation failed, 2 usage, 3 no daemon, 4 not found or refused,
    130 interrupted.
    """


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where to listen; by default 127.0.0.1.")
@click.option("--port", metavar="PORT", help="By default 8080; 0 takes a free one.")
@click.option("--unix-socket", type=click.Path(path_type=Path), help="Where to listen instead, for this user alone.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME",
              help="A name clients may ask under besides loopback's and the host; may be repeated.")  # fmt: skip
@click.option("--root-path", metavar="PATH", help="Path below which a proxy has it, such as /ffspool.")
@click.option("--trusted-proxy", "trusted_proxies", multiple=True, metavar="ADDRESS",
              help="A proxy that is believed who a client is; may be repeated.")  # fmt: skip
@click.option("--max-connections", metavar="N", help="At once; by default half of the files that may be open.")
@click.option("--header-timeout", metavar="SECONDS", help="For the header of a request; by default 15.")
@click.option("--stall-timeout", metavar="SECONDS", help="A download may stand still so long; by default 600.")
@click.option("--max-queued", metavar="N", help="Most variations in the queue; by default a million.")
@click.option("--max-uploads", metavar="N", help="Most resumable uploads that no job took; by default 1000.")
@click.option("--max-stored-bytes", metavar="BYTES", help="Most bytes stored; by default as many as the disk holds.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Holds the database, the spool and the token.")
@ffmpeg
@slots
@grace
@click.option("--max-shared-seconds", metavar="SECONDS",
              help="Longest predicted encode that variations of one file share; by default 120.")  # fmt: skip
@click.option("--resume-from", metavar="SECONDS",
              help="Predicted CPU time from which a film goes on after an interruption; by default 60.")  # fmt: skip
@click.option("--nice", metavar="0-19", help="Niceness of the encoders; by default 5.")
@click.option("--source-root", "source_roots", multiple=True, type=click.Path(path_type=Path),
              help="A folder whose files may be named by path instead of uploaded; may be repeated.")  # fmt: skip
@click.option("--output-root", "output_roots", multiple=True, type=click.Path(path_type=Path),
              help="A folder below which results may be delivered; may be repeated.")  # fmt: skip
@click.option("--output-owner", metavar="USER:GROUP", help="Whom it belongs to; by default the daemon's user.")
@click.option("--delivery-backoff", metavar="SECONDS",
              help="Before a delivery is tried again, later more; by default 5.")  # fmt: skip
@click.option("--delivery-allow-private", is_flag=True, default=None,
              help="Bring results to URLs of loopback and private addresses, too, and by http.")  # fmt: skip
@click.option("--retention", metavar="SECONDS", help="How long a job is kept after its end; by default a day.")
@click.option("--tombstone", metavar="SECONDS", help="How long links of an expired job say so; by default 7 days.")
@click.option("--sweep-every", metavar="SECONDS", help="Between two rounds of cleaning up; by default 300.")
@click.option("--max-disk-use", metavar="0-1", help="Above it the oldest ended jobs go; by default 0.85.")
@click.option("--disk-reserve", metavar="BYTES", help="Left free by encodes; by default 2 %, at most 1 GiB.")
@click.option("--max-upload-bytes", metavar="BYTES", help="Largest file; by default 10 GiB.")
@click.option("--upload-expiry", metavar="SECONDS", help="How long an idle resumable upload is kept; by default a day.")
@click.option("--max-json-bytes", metavar="BYTES", help="Largest JSON body; by default 8 MiB.")
@click.option("--max-sources", metavar="N", help="Most files in one job; by default 1000.")
@click.option("--sandbox", metavar="require|auto|off", help="Whether encoders are shut in; by default auto.")
@click.option("--sandbox-read", multiple=True, type=click.Path(path_type=Path),
              help="More that the encoder reads in its sandbox; may be repeated.")  # fmt: skip
@click.option("--max-encoder-memory", metavar="BYTES", help="Of one encoder; by default 8 GiB.")
@click.option("--max-encode-hours", metavar="HOURS", help="CPU time an encode may take; by default 24.")
@click.option(
    "--hung-after", metavar="SECONDS", help="An encoder idle for so long is ended and tried again; by default 120."
)
@click.option("--retry-delay", metavar="SECONDS", help="Before the first retry of what may pass; by default 5.")
@click.option("--max-fetches", metavar="N", help="Sources by URL that are fetched at once; by default 4.")
@click.option(
    "--fetch-allow-private", is_flag=True, default=None, help="Fetch sources from loopback and private addresses, too."
)
@click.option("--fetch-port", "fetch_ports", multiple=True, metavar="PORT",
              help="A port of URLs that may be asked, in place of 80 and 443; may be repeated.")  # fmt: skip
@click.option("--fetch-backoff", metavar="SECONDS",
              help="Before a source is asked for again, later more; by default 5.")  # fmt: skip
@click.option(
    "--webhook-allow-private", is_flag=True, default=None, help="Let webhooks go to loopback and private addresses."
)
@click.option(
    "--webhook-backoff", metavar="SECONDS", help="Before a webhook that failed is sent again, later more; by default 5."
)
@click.option("--log-level", metavar="debug|info|warning|error", help="The least that is logged; by default info.")
@click.option("--log-format", metavar="text|json", help="How it is logged; by default text.")
@click.option("--session-hours", metavar="HOURS", help="How long a login lasts; by default 24.")
def serve(**flags: Any) -> None:
    """Run the daemon, until SIGTERM or Ctrl-C.

    Every option may also come from FFSPOOL_… in the environment or from ffspool.toml.
    """
    from daemon import journal

    os.umask(0o077)  # what it keeps is nobody else's, whoever may enter the state dir
    settings = load_settings({name: value for name, value in flags.items() if value != ()})
    library, tables = load_library(), load_tables()
    from daemon.server import serve as serve_until_told
    from daemon.settings import surroundings

    around, watched = surroundings(), sys.stderr.isatty()
    journal.set_up(settings.log_level, settings.log_format, journald=around.journald)
    asyncio.run(serve_until_told(settings, library, tables, around, _invite if watched else None))


def _invite(link: str) -> None:
    """Invites whoever sits there; a log that is kept must not hold the token."""
    ending = "Ctrl-C" if _is_in_foreground() else f"`kill {os.getpid()}`"
    echo(f"Open {link} in a browser: it signs in by itself. {ending} ends the daemon.", err=True)


def _is_in_foreground() -> bool:
    """Whether Ctrl-C at the terminal is for us."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except OSError:  # it is the terminal of another session
        return False


@click.command()
@state_dir
@ffmpeg
@as_json
def doctor(as_json: bool, **flags: Any) -> None:
    """Check encoder, sandbox, every preset by a tiny encode, disk, database, clock and daemon; say what to do.

    Changes nothing, but puts a small object into each bucket that is named, and removes it again.
    """
    settings = load_settings(flags)
    checks = asyncio.run(_examined(settings, quiet=as_json))
    ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": checks})
    sys.exit(0 if ok else FAILED)


async def _examined(settings: Any, *, quiet: bool) -> list[Any]:
    from daemon.cli.doctor import examine
    from daemon.cli.terminal import console

    checks = []
    screen = console(sys.stderr if quiet else sys.stdout)
    with screen.status("Looking, and trying every preset"):  # on a terminal alone
        async for check in examine(settings, load_library()):
            checks.append(check)
            if not quiet:
                _print_check(screen, check)
    return checks


def _print_check(screen: Any, check: Any) -> None:
    from daemon.cli.terminal import row

    screen.print(row("ok     " if check.ok else "PROBLEM", f"{check.name:12}", check.found))
    if not check.ok and check.advice:
        screen.print(row("       ", " " * 12, check.advice))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and presets.

    For bash, into ~/.bashrc: eval "$(ffspool completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    echo(kind(main, {}, "ffspool", "_FFSPOOL_COMPLETE").source())


for command in (
    serve,
    run.run,
    plan.plan,
    *jobs.COMMANDS,
    watch.watch,
    watch.events,
    *control.COMMANDS,
    download.download,
    webhooks.webhooks,
    *watched.COMMANDS,
    *tokens.COMMANDS,
    *cluster.COMMANDS,
    backup.backup,
    presets.presets,
    doctor,
    completion,
):
    main.add_command(command)
