"""Shows a job on its way: bars on a terminal, elsewhere a plain log with a line for each event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from daemon.cli import fetching
from daemon.cli.delivering import deliveries, told
from daemon.cli.terminal import STYLES, clock, dawdling, factor, lasting, percent, say, shortened, size, took
from daemon.encode.stall import Pace
from daemon.jobs.delivery_views import DeliveryView
from daemon.jobs.tally import tally
from daemon.jobs.variation_views import VariationView
from daemon.jobs.views import JobView, SourceView
from daemon.plaintext import visible
from daemon.states import ENDED, SourceStatus, State

MOST_BARS = 10  # running variations with a line each: what was said above them stays in sight
ECHO = len("^C^C")  # cells that the terminal itself writes behind the last line; folded, it would shift all
NUMBERS = (5, 10, 7)  # cells of `100 %`, of `ends 17:45` or `finishing`, of `1:02:05`


class Follower:
    """Shows a job as it goes on: a line for each change of state and, on a terminal, bars below them."""

    def __init__(self, screen: Console, *, newborn: bool = False) -> None:
        """Takes all of a `newborn` job as news, also what has ended before it is first shown."""
        self._screen = screen
        self._newborn = newborn
        self._seen: dict[str, State] = {}
        self._broken: set[str] = set()  # sources whose error was told
        self._paces: dict[str, Pace | None] = {}
        self._resumed: dict[str, str] = {}  # where each goes on
        self._deliveries: dict[str, str] = {}  # what was told of each
        self._fetches: dict[str, str] = {}  # what keeps each source from coming, as it was told
        self._anybody_waits = False
        self.is_paused = False
        self._notice = ""  # what holds the job up; on a terminal it goes once it does no more
        self._job: JobView | None = None
        self._live: Live | None = None

    def __enter__(self) -> Follower:
        if self._screen.file.isatty() and not self._screen.is_dumb_terminal:
            self._live = Live(Text("Starting", "dim"), console=self._screen, auto_refresh=False, transient=True)
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, words: str) -> None:
        """Prints a line that stays, above the bars."""
        say(self._screen, words)

    def note(self, words: str) -> None:
        """Tells what is true for now: on a terminal it stands above the bars until the job is seen to run, or
        `clear`."""
        self._notice = words
        if self._live:
            self._draw()
        else:
            self.say(words)

    def clear(self) -> None:
        """Takes back what was noted and holds no more."""
        self._notice = ""

    def _draw(self) -> None:
        if self._live:
            shown = [Text(visible(self._notice), "yellow")] if self._notice else []
            below = [bars(self._job, self._screen)] if self._job else []
            self._live.update(Group(*shown, *below), refresh=True)

    def show(self, job: JobView) -> None:
        """Prints what changed since the last call; the first only looks at what is there, unless the job is newborn."""
        variations = [variation for source in job.sources for variation in source.variations]
        for source in job.sources:
            self._say_what_is_new(source)
            self._say_what_goes_on(source)
        self._say_paces(variations)
        self._say_what_keeps_sources(job.sources)
        for name, delivery in deliveries(job):
            self._say_delivery(name, delivery)
        self._say_whether_paused(job)
        self._say_who_waits(variations)
        self._seen = {variation.id: variation.status for variation in variations}
        self._job = job
        self._draw()

    def _say_what_is_new(self, source: SourceView) -> None:
        """A source that cannot be used is one piece of news, not one for each of its variations."""
        for variation in filter(self._is_news, source.variations):
            if variation.error is None or variation.error != source.error:
                say(self._screen, _news(variation, self._screen.width))
            elif source.id not in self._broken:
                self._broken.add(source.id)
                say(self._screen, _beginning(State.FAILED).append(visible(source.error, over_lines=True)))

    def _say_what_goes_on(self, source: SourceView) -> None:
        """Tells of a film that was interrupted where it goes on, or why it begins anew."""
        whole = source.media.duration_seconds if source.media else None
        for variation in source.variations:
            words = _going_on(variation, whole)
            if words and words != self._resumed.get(variation.id, "" if self._newborn else words):
                self.say(f"{variation.name} {words}")
            self._resumed[variation.id] = words

    def _say_what_keeps_sources(self, sources: Sequence[SourceView]) -> None:
        """Tells why a source is not fetched yet, each reason once."""
        for source in sources:
            words = source.fetch_error or ""
            if source.status == SourceStatus.FETCHING and words and words != self._fetches.get(source.id):
                self.say(f"{source.name}: {words}")
            self._fetches[source.id] = words

    def _say_paces(self, variations: Sequence[VariationView]) -> None:
        """Tells of all that share a process, or stand alike for another reason, in one line."""
        slow = [one for one in variations if one.pace and self._paces.get(one.id) != one.pace]
        for words in dict.fromkeys(map(dawdling, slow) if not self._live else ()):
            first, *others = (one for one in slow if dawdling(one) == words)
            more = f" and {len(others)} more" if others else ""
            self.say(f"{first.pace:10}  {first.name}{more}: {words}")
        self._paces = {variation.id: variation.pace for variation in variations}

    def _say_delivery(self, name: str, delivery: DeliveryView) -> None:
        """Tells of what is settled, and of what keeps the rest."""
        words, colour = told(delivery)
        if colour != "dim" and self._deliveries.get(name) != words:
            say(self._screen, Text.assemble((f"{delivery.status:10}", colour), "  ", visible(f"{name}: {words}")))
        self._deliveries[name] = words

    def _say_who_waits(self, variations: Sequence[VariationView]) -> None:
        """Tells of the first alone: where one waits for the disk, others do."""
        waiting = next((variation for variation in variations if variation.waiting), None)
        if waiting and not self._anybody_waits:
            self.note(f"{waiting.name}: {waiting.waiting}")
        elif not waiting and (self._anybody_waits or any(map(_gets_on, variations))):
            self.clear()
        self._anybody_waits = waiting is not None

    def _say_whether_paused(self, job: JobView) -> None:
        if job.paused != self.is_paused and job.status not in ENDED:
            self.say(f"Paused: `ffspool resume {job.id}` lets it go on." if job.paused else "Paused no more.")
        self.is_paused = job.paused

    def _is_news(self, variation: VariationView) -> bool:
        """What begins is news only where no bar shows it."""
        if self._live and variation.status not in ENDED:
            return False
        unseen = State.QUEUED if self._newborn else variation.status
        return self._seen.get(variation.id, unseen) != variation.status


def _going_on(variation: VariationView, seconds: float | None) -> str:
    """Nothing of a variation that was not interrupted; `seconds` is how long all of it lasts."""
    if variation.resumed_seconds:
        return f"goes on at {clock(variation.resumed_seconds)}" + (f" of {clock(seconds)}" if seconds else "")
    return f"begins anew: {variation.begun_anew.splitlines()[0]}" if variation.begun_anew else ""


def _gets_on(variation: VariationView) -> bool:
    """What stands still has no speed."""
    return variation.status == State.PROCESSING and variation.speed is not None


def _beginning(status: State) -> Text:
    return Text.assemble((f"{status:10}", STYLES[status]), "  ")


def _news(variation: VariationView, width: int) -> Text:
    """A single line, but for the words of an error."""
    words, name, after = _beginning(variation.status), visible(variation.name), Text()
    if variation.status == State.COMPLETED:
        after = Text(f"  {size(variation.bytes)} in {lasting(took(variation))}", "dim")
    elif variation.error and variation.status in {State.FAILED, State.SKIPPED}:
        return words.append(f"{name}: {visible(variation.error.splitlines()[0])}")
    return words.append(shortened(name, max(8, width - words.cell_len - after.cell_len))).append_text(after)


# Bars


def bars(job: JobView, screen: Console, now: Callable[[], datetime] = datetime.now) -> RenderableType:
    """Draws one line for each running variation, as far as they fit, and one for the batch."""
    running = [
        variation for source in job.sources for variation in source.variations if variation.status == State.PROCESSING
    ]
    fetched = [source for source in job.sources if source.status == SourceStatus.FETCHING and source.bytes_fetched]
    room = max(1, min(MOST_BARS, screen.height - 4))
    coming, shown = fetched[:room], running[: max(0, room - len(fetched))]
    hidden = len(running) + len(fetched) - len(coming) - len(shown)
    width = screen.width - ECHO
    grid, names = _grid(width)
    for source in coming:
        grid.add_row(*_cells(source.name, names, fetching.share(source), "fetching", None))
    for variation in shown:
        how = variation.pace or factor(variation.speed)
        grid.add_row(*_cells(variation.name, names, variation.progress, how, variation.eta_seconds))
    if hidden > 0:
        grid.add_row(Text(f"and {hidden} more", "dim"))
    grid.add_row(*_cells(_brief(job, names), names, job.progress, _end(job, now()), job.eta_seconds))
    return Group(*_if_nothing_runs(job, coming or running, width), *_why_slow(shown), grid)


def _if_nothing_runs(job: JobView, running: Sequence[object], width: int) -> Iterator[RenderableType]:
    if not running and job.status not in ENDED and not job.paused:
        if job.outside_hours:
            words = f"Waiting for the hours of {job.folder}: `ffspool resume {job.id}` has it run now"
        else:
            words = "Waiting for its turn" if job.started_at is None else "Waiting for the next turn"
        yield Text(words[:width], "dim")


def _why_slow(shown: Sequence[VariationView]) -> Iterator[RenderableType]:
    """Tells of the first that does not get on what it does; what holds it up holds up others."""
    slow = [variation for variation in shown if variation.pace]
    if slow:
        more = f"; {len(slow) - 1} more stand like this" if len(slow) > 1 else ""
        yield Text(f"{visible(slow[0].name)}: {visible(dawdling(slow[0]))}{more}", "yellow")


def _grid(width: int) -> tuple[Table, int]:
    """A table of lines of that width, and the cells its names have."""
    left = width - sum(NUMBERS) - len(NUMBERS) - 1
    bar = min(40, max(8, left // 3))
    names = max(8, left - bar)
    numbers = [Column(width=cells, justify="right", no_wrap=True) for cells in NUMBERS]
    grid = Table.grid(Column(width=names, no_wrap=True), Column(width=bar), *numbers, padding=(0, 1, 0, 0))
    return grid, names


def _cells(name: str, room: int, progress: float | None, how: str, left: float | None) -> list[RenderableType]:
    bar = ProgressBar(total=None if progress is None else 100, completed=progress or 0)
    return [Text(shortened(visible(name), room)), bar, Text(percent(progress)), Text(how), Text(clock(left))]


def _brief(job: JobView, room: int) -> str:
    """`3 of 10 completed, 1 failed`, or where that is too long `3/10, 1 failed`."""
    words = tally(job)
    return words if cell_len(words) <= room else words.replace(" of ", "/", 1).replace(" completed", "", 1)


def _end(job: JobView, now: datetime) -> str:
    """`ends 17:45`; on another day `Tue 17:45`."""
    if job.paused:
        return "paused"
    if not job.eta_seconds:
        return ""
    end = now + timedelta(seconds=job.eta_seconds)
    return f"ends {end:%H:%M}" if end.date() == now.date() else f"{end:%a %H:%M}"
