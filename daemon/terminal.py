"""What a person sees: jobs, tables and live progress in a terminal of any width, or as plain lines."""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.progress_bar import ProgressBar
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from daemon.stall import Pace
from daemon.states import ENDED, State
from daemon.views import JobView, SourceView, VariationView

ENDLESS = 10_000  # columns of what is no terminal: there, lines are for programs and are not folded
GAP = 2  # cells between two columns
STYLES: dict[str, str] = {
    State.COMPLETED: "green",
    State.PROCESSING: "cyan",
    State.FAILED: "red",
    State.CANCELLED: "yellow",
    State.QUEUED: "dim",
}
PACES: dict[Pace, str] = {
    Pace.SLOW: "no progress for a while, but it works",
    Pace.FINISHING: "all is encoded, and the file is being completed",
    Pace.HUNG: "nothing moves, and it is being ended",
}


def console(file: IO[str] | None = None) -> Console:
    """Writes words as they are: a file's name is never markup."""
    file = file or sys.stdout
    width = None if file.isatty() else ENDLESS
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def printable(text: str) -> str:
    """`text` without what could steer a terminal: a file's metadata is in the encoder's words."""
    return "".join(mark if mark in "\n\t" or unicodedata.category(mark) != "Cc" else "�" for mark in text)


# Words for numbers


def size(count: int | None) -> str:
    """`1234567` → `1.2 MB`."""
    if count is None:
        return "–"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def clock(seconds: float | None) -> str:
    """`3725` → `1:02:05`."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def lasting(seconds: float | None) -> str:
    """As `clock`, with a tenth where that says more: `1.2 s`."""
    return f"{seconds:.1f} s" if seconds is not None and seconds < 59.95 else clock(seconds)


def percent(value: float | None) -> str:
    """Rounded down: 100 % is only what is done."""
    return "–" if value is None else f"{int(value)} %"


def factor(speed: float | None) -> str:
    return "–" if speed is None else f"{speed:.1f}×" if speed < 99.5 else f"{speed:.0f}×"


def ago(moment: datetime) -> str:
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"


def took(variation: VariationView) -> float | None:
    """Seconds from its start to its end."""
    if variation.started_at is None or variation.finished_at is None:
        return None
    return (variation.finished_at - variation.started_at).total_seconds()


def paint(status: str) -> Text:
    return Text(status, STYLES.get(status, ""))


# Tables


class Column(NamedTuple):
    """`rank` says in which order columns give way in a narrow terminal: the highest goes first.

    A column with `least` may be narrowed down to that many cells, by folding or, if `cut`, by an ellipsis;
    one without always shows everything.
    """

    title: str
    rank: int
    least: int | None = None
    cut: bool = False
    right: bool = False


def table(screen: Console, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """Prints as many columns as the terminal takes, the most important ones first."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    needs = [_needed(column, [row[index] for row in cells]) for index, column in enumerate(columns)]
    kept = _fitting(columns, needs, screen.width)
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for index in kept:
        column = columns[index]
        shown.add_column(
            column.title,
            no_wrap=column.cut or column.least is None,
            overflow="ellipsis" if column.cut else "fold",
            justify="right" if column.right else "left",
            min_width=needs[index],
        )
    for row in cells:
        shown.add_row(*(row[index] for index in kept))
    screen.print(shown)


def _needed(column: Column, cells: Sequence[Text]) -> int:
    natural = max([cell_len(column.title), *(cell.cell_len for cell in cells)])
    return min(natural, column.least) if column.least else natural


def _fitting(columns: Sequence[Column], needs: Sequence[int], width: int) -> list[int]:
    """Indices of the columns that go side by side into `width` cells, at least one."""
    by_rank = sorted(range(len(columns)), key=lambda index: columns[index].rank)
    widths = itertools.accumulate((needs[index] + GAP for index in by_rank), initial=-GAP)
    fit = [index for index, taken in zip(by_rank, itertools.islice(widths, 1, None), strict=True) if taken <= width]
    return sorted(fit or by_rank[:1])


# One job as a page


def page(job: JobView) -> RenderableType:
    """The job, its sources and their variations, errors in words below what they befell."""
    parts: list[RenderableType] = [_headline(job), *map(Text, _facts(job))]
    for source in job.sources:
        parts += ["", *_source_parts(source)]
    return Group(*parts)


def _headline(job: JobView) -> Text:
    words = Text.assemble((job.id, "bold"), "  ", paint(job.status))
    if job.paused:
        words.append("  paused", "yellow")
    return words.append(f"  {job.name}") if job.name else words


def _facts(job: JobView) -> Iterator[str]:
    left = f", {clock(job.eta_seconds)} left" if job.eta_seconds else ""
    yield tally(job) + ("" if job.status in ENDED else f", {percent(job.progress)} done{left}")
    times = {"created": job.created_at, "finished": job.finished_at, "kept until": job.expires_at}
    yield ", ".join(f"{what} {local(when)}" for what, when in times.items() if when)
    if job.usage.output_bytes:
        yield f"{size(job.usage.output_bytes)} of output for {job.usage.cpu_seconds:.1f} s of CPU"


def tally(job: JobView) -> str:
    """`3 of 10 completed, 1 failed`."""
    words = f"{job.completed_variations} of {job.total_variations} completed"
    for count, what in ((job.failed_variations, "failed"), (job.cancelled_variations, "cancelled")):
        words += f", {count} {what}" if count else ""
    return words


def local(when: datetime) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _source_parts(source: SourceView) -> Iterator[RenderableType]:
    facts = [size(source.bytes)]
    if source.media and source.media.video:
        facts.append(f"{source.media.video.width}×{source.media.video.height}")
    if source.media and source.media.duration_seconds is not None:
        facts.append(clock(source.media.duration_seconds))
    yield row(source.id, Text.assemble((printable(source.name), "bold"), f"  {', '.join(facts)}"))
    if source.error:
        yield _complaint(source.error)
    for variation in source.variations:
        yield Padding(row(variation.id, f"{variation.status:10}", _variation_words(variation)), (0, 0, 0, 2))
        if variation.error and variation.error != source.error:
            yield _complaint(variation.error)


def _variation_words(variation: VariationView) -> Text:
    words = Text(printable(variation.name))
    if variation.status == State.PROCESSING:
        words.append(f"  {percent(variation.progress)} at {factor(variation.speed)}")
        words.append(f", {clock(variation.eta_seconds)} left" if variation.eta_seconds is not None else "")
        words.append(f", {variation.pace}: {PACES[variation.pace]}" if variation.pace else "", "yellow")
    elif variation.status == State.COMPLETED:
        words.append(f"  {size(variation.bytes)} in {lasting(took(variation))}")
    elif variation.waiting:
        words.append(f"  {variation.waiting}", "yellow")
    return words


def _complaint(error: str) -> RenderableType:
    return Padding(Text(printable(error), "red"), (0, 0, 0, 4))


def row(*cells: str | Text) -> Table:
    """Cells side by side; the last one folds below itself."""
    grid = Table.grid(
        *(RichColumn(no_wrap=True) for _ in cells[:-1]), RichColumn(overflow="fold"), padding=(0, GAP, 0, 0)
    )
    grid.add_row(*(cell if isinstance(cell, Text) else Text(cell, STYLES.get(cell.strip(), "")) for cell in cells))
    return grid


# A job on its way


class Follower:
    """Shows a job as it goes on: a line for each change of state and, on a terminal, bars below them."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._seen: dict[str, State] = {}
        self._paces: dict[str, Pace | None] = {}
        self._anybody_waits = False
        self._paused = False
        self._live: Live | None = None

    def __enter__(self) -> Follower:
        if self._screen.file.isatty() and not self._screen.is_dumb_terminal:
            self._live = Live(console=self._screen, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, words: str) -> None:
        """A line that stays, above the bars."""
        self._screen.print(printable(words))

    def show(self, job: JobView) -> None:
        """Prints what changed since the last call; the first one only looks at what has ended before."""
        variations = [variation for source in job.sources for variation in source.variations]
        for variation in variations:
            if self._is_news(variation):
                self._screen.print(_news(variation))
            self._say_pace(variation)
        self._say_whether_paused(job)
        self._say_who_waits(variations)
        self._seen = {variation.id: variation.status for variation in variations}
        if self._live:
            self._live.update(bars(job, self._screen), refresh=True)

    def _say_pace(self, variation: VariationView) -> None:
        if not self._live and variation.pace and self._paces.get(variation.id) != variation.pace:
            self.say(f"{variation.pace:10}  {variation.name}: {PACES[variation.pace]}")
        self._paces[variation.id] = variation.pace

    def _say_who_waits(self, variations: Iterable[VariationView]) -> None:
        """Of the first alone: where one waits for the disk, others do."""
        waiting = next((variation for variation in variations if variation.waiting), None)
        if waiting and not self._anybody_waits:
            self.say(f"{waiting.name}: {waiting.waiting}")
        self._anybody_waits = waiting is not None

    def _say_whether_paused(self, job: JobView) -> None:
        if job.paused != self._paused and job.status not in ENDED:
            self.say(f"Paused: `ffspool resume {job.id}` lets it go on." if job.paused else "Paused no more.")
        self._paused = job.paused

    def _is_news(self, variation: VariationView) -> bool:
        """What begins is news only where no bar shows it."""
        if self._live and variation.status not in ENDED:
            return False
        return variation.id in self._seen and self._seen[variation.id] != variation.status


def _news(variation: VariationView) -> Text:
    words = Text.assemble((f"{variation.status:10}", STYLES[variation.status]), "  ", printable(variation.name))
    if variation.status == State.COMPLETED:
        words.append(f"  {size(variation.bytes)} in {lasting(took(variation))}", "dim")
    elif variation.status == State.FAILED and variation.error:
        words.append(f": {printable(variation.error).splitlines()[0]}")
    return words


def bars(job: JobView, screen: Console, now: Callable[[], datetime] = datetime.now) -> RenderableType:
    """One line for each running variation, as far as they fit, and one for the batch."""
    running = [
        variation for source in job.sources for variation in source.variations if variation.status == State.PROCESSING
    ]
    room = max(1, screen.height - 3)
    width = screen.width - len("^C^C")  # which the terminal echoes behind the last line; folded, it would shift all
    lines = _grid(width)
    for variation in running[:room]:
        how = variation.pace or factor(variation.speed)
        lines.add_row(*_bar_cells(variation.name, variation.progress, how, variation.eta_seconds))
    hidden = [Text(f"and {len(running) - room} more", "dim")] if len(running) > room else []
    batch = _grid(width)
    ends = f"ends {now() + timedelta(seconds=job.eta_seconds):%H:%M}" if job.eta_seconds else ""
    ends = "paused" if job.paused else ends
    batch.add_row(*_bar_cells(tally(job), job.progress, ends, job.eta_seconds))
    return Group(lines, *hidden, batch)


def _grid(width: int) -> Table:
    name = RichColumn(ratio=1, no_wrap=True, overflow="ellipsis")
    bar = RichColumn(width=max(6, (width - 40) // 3))
    numbers = [RichColumn(width=cells, justify="right", no_wrap=True) for cells in (6, 10, 8)]
    grid = Table.grid(name, bar, *numbers, padding=(0, 1, 0, 0))
    grid.width = width
    return grid


def _bar_cells(name: str, progress: float | None, middle: str, left: float | None) -> list[RenderableType]:
    bar = ProgressBar(total=None if progress is None else 100, completed=progress or 0)
    return [Text(printable(name)), bar, Text(percent(progress)), Text(middle), Text(clock(left))]


@contextmanager
def transfer(screen: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for bytes on their way, on a terminal only; call what it gives with how many more went."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=screen, transient=True, disable=not screen.file.isatty()) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
