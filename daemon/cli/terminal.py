"""Shows a person words, tables and jobs, in a terminal of any width or as plain lines."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.segment import Segment
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from daemon.cli import fetching
from daemon.cli.delivering import told
from daemon.encode.stall import Pace
from daemon.jobs.tally import is_mixed, rest, tally
from daemon.jobs.variation_views import VariationView
from daemon.jobs.views import JobSummary, JobView, SourceView
from daemon.models import in_lines
from daemon.plaintext import visible
from daemon.states import ENDED, DeliveryStatus, SourceStatus, State

ENDLESS = 10_000  # columns of what is no terminal: there, lines are for programs and are not folded
GAP = 2  # cells between two columns
STYLES: dict[str, str] = {
    State.COMPLETED: "green",
    State.PROCESSING: "cyan",
    State.FAILED: "red",
    State.CANCELLED: "yellow",
    State.QUEUED: "dim",
    State.SKIPPED: "dim",
}
MISSED = (State.FAILED, State.CANCELLED)
PACES: dict[Pace, str] = {
    Pace.SLOW: "no progress for a while, but it works",
    Pace.FINISHING: "all is encoded, and the file is being completed",
    Pace.HUNG: "nothing comes of it, and it is being ended",
}


def console(file: IO[str] | None = None) -> Console:
    """Writes words as they are: a file's name is never markup. NO_COLOR takes bold and dim away too."""
    file = file or sys.stdout
    width = None if file.isatty() else ENDLESS
    plain: Any = {"markup": False, "highlight": False, "emoji": False}
    screen = _Screen(file=file, width=width, **plain)
    return _Screen(file=file, width=width, color_system=None, **plain) if screen.no_color else screen


class _Screen(Console):
    """Nothing that is printed steers the terminal, but for what is written of ourselves: colours, and bars anew.

    What is measured before, such as a cell of a table, is made visible before: else it takes more room than it has.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text, over_lines=True))


def say(screen: Console, words: str | Text) -> None:
    """Prints a line of words, folded between them; what is too long for a line, such as a path, is folded within."""
    screen.print(words if isinstance(words, Text) else Text(visible(words, over_lines=True)), overflow="fold")


def shortened(text: str, room: int) -> str:
    """Returns at most `room` cells of it: the middle gives way, for a file's name ends in what tells it from others."""
    if cell_len(text) <= room:
        return text
    tail = min(room - 1, (room - 1) * 2 // 3 + 1)
    return f"{set_cell_size(text, room - 1 - tail).rstrip()}…{_ending(text, tail)}"


def _ending(text: str, room: int) -> str:
    start = next(start for start in range(len(text) + 1) if cell_len(text[start:]) <= room)
    return text[start:]


# Words for numbers


def size(count: int | None) -> str:
    """Makes `1.2 MB` of `1234567`, and `–` of None."""
    if count is None:
        return "–"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def clock(seconds: float | None) -> str:
    """Makes `1:02:05` of `3725` seconds, and `–` of None."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def lasting(seconds: float | None) -> str:
    """Writes seconds as `clock` does, with a tenth where that says more: `1.2 s`."""
    return f"{seconds:.1f} s" if seconds is not None and seconds < 59.95 else clock(seconds)


def percent(value: float | None) -> str:
    """Rounds down: 100 % is only what is done."""
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
    """Returns the seconds from its start to its end; None before that."""
    if variation.started_at is None or variation.finished_at is None:
        return None
    return (variation.finished_at - variation.started_at).total_seconds()


def paint(status: str) -> Text:
    return Text(status, STYLES.get(status, ""))


# Tables


class Column(NamedTuple):
    """A column has a `rank`, by which columns give way in a narrow terminal: the highest goes first.

    A column with `least` may be narrowed down to that many cells, by folding or, if `cut` (one at most), by an
    ellipsis; one without always shows everything.
    """

    title: str
    rank: int
    least: int | None = None
    cut: bool = False
    right: bool = False


def table(screen: Console, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """Prints as many columns as the terminal takes, the most important ones first."""
    cells = [[cell if isinstance(cell, Text) else Text(visible(cell)) for cell in row] for row in rows]
    needs = [_needed(column, [row[index] for row in cells]) for index, column in enumerate(columns)]
    kept = _fitting(columns, needs, screen.width)
    spare = screen.width - sum(needs[index] + GAP for index in kept)
    shown = Table(box=None, header_style="bold", padding=(0, GAP, 0, 0))
    for index in kept:
        column = columns[index]
        shown.add_column(
            column.title,
            no_wrap=column.cut or column.least is None,
            overflow="fold",
            justify="right" if column.right else "left",
            min_width=needs[index],
        )
    for row in cells:
        shown.add_row(*(_cut(row[index], needs[index] + spare) if columns[index].cut else row[index] for index in kept))
    with screen.capture() as printed:
        screen.print(shown)
    for line in printed.get().splitlines():
        screen.file.write(line.rstrip() + "\n")


def _cut(cell: Text, room: int) -> Text:
    return cell if cell.cell_len <= room else Text(shortened(cell.plain, room), cell.style)


def _needed(column: Column, cells: Sequence[Text]) -> int:
    natural = max([cell_len(column.title), *(cell.cell_len for cell in cells)])
    return min(natural, column.least) if column.least else natural


def _fitting(columns: Sequence[Column], needs: Sequence[int], width: int) -> list[int]:
    """Indices of the columns that go side by side into `width` cells, at least one."""
    by_rank = sorted(range(len(columns)), key=lambda index: columns[index].rank)
    widths = itertools.accumulate((needs[index] + GAP for index in by_rank), initial=0)
    fit = [index for index, taken in zip(by_rank, itertools.islice(widths, 1, None), strict=True) if taken <= width]
    return sorted(fit or by_rank[:1])


# One job as a page


def page(job: JobView, hold: str | None = None) -> RenderableType:
    """Draws the job, its sources and their variations, errors in words below what they befell; `hold` says why
    nothing of it begins, if so."""
    parts: list[RenderableType] = [_headline(job), *map(Text, _facts(job))]
    parts += [Text(hold, "yellow")] if hold else []
    for source in job.sources:
        parts += ["", *_source_parts(source)]
    return Group(*parts, "", *(Text(words, "dim") for words in _next_steps(job)))


def _headline(job: JobView) -> Text:
    words = Text.assemble((job.id, "bold"), "  ", standing(job))
    if stands_still(job):
        words.append("  paused", "yellow")
    return words.append(f"  {visible(job.name)}") if job.name else words


def stands_still(job: JobSummary) -> bool:
    """Tells whether it is to be said that it is paused: of what ended nothing goes on."""
    return job.paused and job.status not in ENDED


def standing(job: JobSummary) -> Text:
    """Shows its state; of an ended job of which only some came out, what did, and what became of the rest."""
    lost = f", {job.lost_variations} lost" if job.lost_variations else ""
    if job.deliveries and job.deliveries.failed and job.status in ENDED:
        lost += f", {job.deliveries.failed} not delivered"
    if is_mixed(job):
        return Text(f"{job.completed_variations} completed{rest(job, MISSED)}{lost}", STYLES[State.CANCELLED])
    failed = f", {job.failed_variations} failed" if job.failed_variations and job.status != State.FAILED else ""
    return paint(job.status).append(failed).append(lost, STYLES[State.FAILED])


def _facts(job: JobView) -> Iterator[str]:
    left = f", {clock(job.eta_seconds)} left" if job.eta_seconds else ""
    yield tally(job) + ("" if job.status in ENDED else f", {percent(job.progress)} done{left}")
    yield f"created {local(job.created_at)}" + (f", finished {local(job.finished_at)}" if job.finished_at else "")
    if job.expires_at:
        yield f"kept until {local(job.expires_at)}"
    if job.usage.output_bytes:
        yield f"{size(job.usage.output_bytes)} of output for {job.usage.cpu_seconds:.1f} s of CPU"


def _next_steps(job: JobView) -> Iterator[str]:
    """What one may want to do with a job that stands like this."""
    if job.status not in ENDED:
        yield f"`ffspool resume {job.id}` lets it go on" if job.paused else f"`ffspool watch {job.id}` follows it"
    else:
        yield from _what_helps(job)
    if any(map(_is_here, (variation for source in job.sources for variation in source.variations))):
        yield f"`ffspool download {job.id}` fetches what is completed"


def _is_here(variation: VariationView) -> bool:
    dropped = variation.delivery and variation.delivery.dropped
    return variation.status == State.COMPLETED and not variation.lost and not dropped


def _may_be_delivered(variation: VariationView) -> bool:
    delivery = variation.delivery
    return bool(delivery and delivery.status == DeliveryStatus.FAILED and _is_here(variation))


def _what_helps(job: JobView) -> Iterator[str]:
    from daemon.jobs.remedies import advice  # which knows of encoders

    if job.failed_variations or job.cancelled_variations or job.lost_variations:
        yield from advice(job.sources, f"`ffspool retry {job.id}`", "submit a new job")
    if any(map(_may_be_delivered, (variation for source in job.sources for variation in source.variations))):
        yield f"`ffspool retry {job.id}` delivers what did not arrive"


def local(when: datetime) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _source_parts(source: SourceView) -> Iterator[RenderableType]:
    facts = [size(source.bytes)]
    if source.media and source.media.video:
        facts.append(f"{source.media.video.width}×{source.media.video.height}")
    if source.media and source.media.duration_seconds is not None:
        facts.append(clock(source.media.duration_seconds))
    yield row(source.id, Text.assemble((visible(source.name), "bold"), f"  {', '.join(facts)}"))
    if words := _coming(source):
        yield Padding(Text(visible(words), "yellow" if source.fetch_error else "cyan"), (0, 0, 0, 2), expand=False)
    if source.error:
        yield _complaint(source.error)
    for variation in source.variations:
        line = row(variation.id, f"{variation.status:10}", _variation_words(variation))
        yield Padding(line, (0, 0, 0, 2), expand=False)
        if variation.error and variation.error != source.error:
            yield _complaint(variation.error, STYLES[State.FAILED if variation.lost else variation.status])
        if variation.attempts > 1:
            yield Padding(Text(_tried_again(variation), "dim"), (0, 0, 0, 4), expand=False)
        if delivery := variation.delivery or None:
            words, colour = told(delivery)
            yield Padding(Text(visible(words), colour), (0, 0, 0, 4), expand=False)
        for lost in in_lines(variation.left_out or ()):
            yield Padding(Text(f"left out: {visible(lost)}", "dim"), (0, 0, 0, 4), expand=False)


def _coming(source: SourceView) -> str:
    """How far a source that is fetched is, and what keeps it."""
    if source.status != SourceStatus.FETCHING:
        return ""
    come, part = source.bytes_fetched or 0, fetching.share(source)
    words = f"fetching {percent(part)} of {size(source.bytes)}" if part is not None else f"fetching, {size(come)} came"
    return words + (f": {source.fetch_error}" if source.fetch_error else "")


def _tried_again(variation: VariationView) -> str:
    words = f"attempt {variation.attempts}"
    if variation.resumed_seconds:
        words += f" went on after {clock(variation.resumed_seconds)} of it, which an earlier one had encoded"
    elif variation.begun_anew:
        words += f" began anew: {visible(variation.begun_anew.splitlines()[0])}"
    return words


def _variation_words(variation: VariationView) -> Text:
    """The name that lists, receipts and downloads give it, and how it stands."""
    words = Text(visible(variation.name))
    if variation.status == State.PROCESSING:
        words.append(f"  {percent(variation.progress)}")
        words.append(f" at {factor(variation.speed)}" if variation.speed is not None else "")
        shared = variation.speed is not None and (variation.sharing or 1) > 1
        words.append(f" shared by {variation.sharing}" if shared else "")
        words.append(f", {clock(variation.eta_seconds)} left" if variation.eta_seconds is not None else "")
        words.append(f", {variation.pace}: {dawdling(variation)}" if variation.pace else "", "yellow")
    elif variation.status == State.COMPLETED:
        words.append(f"  {size(variation.bytes)} in {lasting(took(variation))}")
        words.append(f" on {variation.machine}" if variation.machine else "")
    elif variation.status in {State.CANCELLED, State.FAILED} and variation.resumable is True:
        words.append("  what is encoded of it is kept for a retry")
    elif variation.waiting:
        words.append(f"  {variation.waiting}", "yellow")
    return words


def dawdling(variation: VariationView) -> str:
    """Returns what one that does not get on does meanwhile; of nothing but its pace, where the daemon is older."""
    return variation.doing or (PACES[variation.pace] if variation.pace else "")


def _complaint(error: str, style: str = "red") -> RenderableType:
    return Padding(Text(visible(error, over_lines=True), style), (0, 0, 0, 4), expand=False)


def row(*cells: str | Text) -> Table:
    """Puts cells side by side; the last one folds below itself."""
    grid = Table.grid(
        *(RichColumn(no_wrap=True) for _ in cells[:-1]), RichColumn(overflow="fold"), padding=(0, GAP, 0, 0)
    )
    grid.add_row(*(cell if isinstance(cell, Text) else _plain(cell) for cell in cells))
    return grid


def _plain(words: str) -> Text:
    """Shows it in the colour of the status that it may be."""
    return Text(visible(words, over_lines=True), STYLES.get(words.strip(), ""))


@contextmanager
def transfer(screen: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draws a bar for bytes on their way, on a terminal only; call what it gives with how many more went."""
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
