"""`hanok batches` and `hanok files`: order batches at the running server, watch them, and fetch what came of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hanok.cli.server import Server
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json, talk
from hanok.errors import StartError

batches = typer.Typer(help="Order batches of calls, watch them, and fetch their results.", no_args_is_help=True)
files = typer.Typer(help="Upload, list, fetch and delete files.", no_args_is_help=True)
LOOK_EVERY_S = 0.5
WIDE = 100
ENDED = ("completed", "failed", "expired", "cancelled")
IdArgument = Annotated[str, typer.Argument(help="The batch's id.")]
FileIdArgument = Annotated[str, typer.Argument(help="The file's id.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write there instead of to stdout.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
LimitOption = Annotated[int, typer.Option(min=1, max=100, help="The most to show.")]


@batches.command("create")
def create(
    lines: Annotated[Path, typer.Argument(help="A JSONL file, one request a line; `-` reads it from stdin.")],
    endpoint: Annotated[
        str | None, typer.Option(help="The path that its lines ask; by default that of the first line.")
    ] = None,
    window: Annotated[str, typer.Option(help="The time in which it must be done: `24h`, `7d`.")] = "24h",
    wait_: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a file of requests and order a batch of them.

    Example: `hanok batches create questions.jsonl --wait`
    """
    server = _server(file)
    with _on_disk(lines) as kept:
        path = endpoint or _first_url(kept)
        uploaded = _upload(server, kept)
    order = {"input_file_id": uploaded["id"], "endpoint": path, "completion_window": window}
    batch = server.ask("POST", "/v1/batches", order)
    if wait_:
        talk.print(f"Ordered {batch['id']}.")
        batch = _watch(server, batch)
    _show(batch, as_json)
    _say_next(batch)
    _exit_unless_completed(batch if wait_ else None)


@batches.command("list")
def list_batches(limit: LimitOption = 20, file: FileOption = None, as_json: JsonOption = False) -> None:
    """List batches, the newest first.

    Example: `hanok batches list`
    """
    found = _server(file).ask("GET", f"/v1/batches?limit={limit}")["data"]
    if as_json:
        print_json({"batches": found})
        return
    titles = ("ID", "STATUS", "DONE", "FAILED", "CREATED") + (("ENDPOINT",) if data.width >= WIDE else ())
    table = new_table(*titles, kept=titles, numbers=("DONE", "FAILED"))
    for each in found:
        counts = each["request_counts"]
        done = f"{counts['completed'] + counts['failed']:,}/{counts['total']:,}"
        created = _short_time(each["created_at"])
        cells = (each["id"], each["status"], done, f"{counts['failed']:,}", created, each["endpoint"])
        table.add_row(*map(escape, cells[: len(titles)]))
    data.print(table if found else "No batches yet: hanok batches create FILE.jsonl")


@batches.command("show")
def show(batch: IdArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """Show how a batch stands.

    Example: `hanok batches show batch_6cfb3dd0a81b4dd0a0b7f0aa`
    """
    found = _find(_server(file), batch)
    _show(found, as_json)
    _say_next(found)


@batches.command("wait")
def wait(batch: IdArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """Wait for a batch's end, with a progress bar. Ctrl-C stops the waiting, not the batch.

    Example: `hanok batches wait batch_6cfb3dd0a81b4dd0a0b7f0aa`
    """
    server = _server(file)
    ended = _watch(server, _find(server, batch))
    _show(ended, as_json)
    _say_next(ended)
    _exit_unless_completed(ended)


@batches.command("cancel")
def cancel(batch: IdArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """Call a batch off; what was answered is kept.

    Example: `hanok batches cancel batch_6cfb3dd0a81b4dd0a0b7f0aa`
    """
    _show(_server(file).ask("POST", f"/v1/batches/{quote(batch, safe='')}/cancel"), as_json)


@batches.command("results")
def results(
    batch: IdArgument,
    output: OutputOption = None,
    errors: Annotated[bool, typer.Option("--errors", help="The lines that failed, instead of those answered.")] = False,
    force: ForceOption = False,
    file: FileOption = None,
) -> None:
    """Fetch a batch's answers, as JSONL.

    Example: `hanok batches results batch_6cfb3dd0a81b4dd0a0b7f0aa -o answers.jsonl`
    """
    _refuse_to_overwrite(output, force=force)
    server = _server(file)
    found = _find(server, batch)
    id_ = found["error_file_id" if errors else "output_file_id"]
    if id_ is None and found["status"] not in ENDED:
        raise StartError(f"the batch is {found['status']}", hint=f"wait for it: hanok batches wait {batch}")
    if id_ is None:
        raise StartError("no line failed" if errors else "no line was answered", hint=f"hanok batches show {batch}")
    _write(server.download(id_), output)


@files.command("upload")
def upload(
    path: Annotated[Path, typer.Argument(help="The file.")], file: FileOption = None, as_json: JsonOption = False
) -> None:
    """Upload a file for batches.

    Example: `hanok files upload questions.jsonl`
    """
    uploaded = _upload(_server(file), path)
    if as_json:
        print_json(uploaded)
    else:
        print(uploaded["id"])


@files.command("list")
def list_files(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most to show.")] = 100,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List files, the newest first.

    Example: `hanok files list`
    """
    found = _server(file).ask("GET", f"/v1/files?limit={limit}")["data"]
    if as_json:
        print_json({"files": found})
        return
    table = new_table("ID", "NAME", "PURPOSE", "BYTES", "CREATED", "EXPIRES", kept=("ID",))
    for each in found:
        expires = _short_time(each["expires_at"]) if each["expires_at"] else "–"
        cells = (
            each["id"],
            each["filename"],
            each["purpose"],
            f"{each['bytes']:,}",
            _short_time(each["created_at"]),
            expires,
        )
        table.add_row(*map(escape, cells))
    data.print(table if found else "No files yet: hanok files upload FILE.jsonl")


@files.command("get")
def get(id_: FileIdArgument, output: OutputOption = None, force: ForceOption = False, file: FileOption = None) -> None:
    """Fetch a file.

    Example: `hanok files get file-2b1b0a4bb9a24b4e8d9f7c11 -o answers.jsonl`
    """
    _refuse_to_overwrite(output, force=force)
    _write(_server(file).download(quote(id_, safe="")), output)


@files.command("delete")
def delete(id_: FileIdArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """Delete a file.

    Example: `hanok files delete file-2b1b0a4bb9a24b4e8d9f7c11`
    """
    deleted = _server(file).ask("DELETE", f"/v1/files/{quote(id_, safe='')}")
    if as_json:
        print_json(deleted)
    else:
        talk.print(f"Deleted {id_}.", highlight=False)


def _server(file: Path | None) -> Server:
    return Server.open_to_us(load_to_ask(file))


def _find(server: Server, batch: str) -> Any:
    return server.ask("GET", f"/v1/batches/{quote(batch, safe='')}")


@contextlib.contextmanager
def _on_disk(lines: Path) -> Generator[Path]:
    """The file of requests; stdin is kept in one for so long, as its size is said before it is sent."""
    if lines != Path("-"):
        yield lines
        return
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "stdin.jsonl"
        with kept.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield kept


def _first_url(lines: Path) -> str:
    """Where the first line wants to go; the server looks at all of them."""
    try:
        with lines.open("rb") as file:
            first = next((line for line in file if line.strip()), b"{}")
        return str(json.loads(first)["url"])
    except OSError as error:
        raise StartError(f"{lines} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        message = f"{lines}: the first line is no request with a `url`"
        raise StartError(message, hint="see docs/batches.md for the format") from None


def _upload(server: Server, path: Path) -> Any:
    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        task = progress.add_task("", total=path.stat().st_size if path.exists() else None)
        return server.upload(path, told=lambda sent: progress.update(task, completed=sent))


class _Rate(ProgressColumn):
    """Lines a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f} lines/s" if task.speed else "", style="progress.data.speed")


def _watch(server: Server, batch: Any) -> Any:
    """Follow a batch to its end. Its state is told where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn())
    told = ""
    with Progress(*columns, TimeRemainingColumn(), console=talk, disable=not talk.is_terminal) as progress:
        task = progress.add_task("", total=None)
        while True:
            counts, state = batch["request_counts"], _state(batch)
            done = counts["completed"] + counts["failed"]
            progress.update(task, description=state, total=counts["total"] or None, completed=done)
            if state != told and not talk.is_terminal:
                talk.print(state, highlight=False)
            told = state
            if batch["status"] in ENDED:
                return batch
            try:
                time.sleep(LOOK_EVERY_S)
                batch = _find(server, batch["id"])
            except KeyboardInterrupt:
                progress.stop()
                again = f"The batch goes on. To wait again: hanok batches wait {batch['id']}"
                talk.print(again, highlight=False, soft_wrap=True)
                raise


def _state(batch: Any) -> str:
    starts_at = batch.get("starts_at")
    return f"{batch['status']}, begins at {_time(starts_at)}" if starts_at else batch["status"]


def _show(batch: Any, as_json: bool) -> None:
    if as_json:
        print_json(batch)
        return
    counts, tokens = batch["request_counts"], batch["usage"]
    rows = {
        "id": batch["id"],
        "status": _state(batch),
        "lines": f"{counts['total']:,}, {counts['completed']:,} answered, {counts['failed']:,} failed",
        "tokens": f"{tokens['input_tokens']:,} in, {tokens['output_tokens']:,} out",
        "endpoint": batch["endpoint"],
        "model": batch["model"] or "–",
        "created": _time(batch["created_at"]),
        "expires": _time(batch["expires_at"]),
        "answers": batch["output_file_id"] or "–",
        "failures": batch["error_file_id"] or "–",
    }
    table = new_table()
    for name, value in rows.items():
        table.add_row(name, escape(value))
    data.print(table)
    errors: list[dict[str, Any]] = batch["errors"]["data"] if batch["errors"] else []
    for error in errors:
        place = f"line {error['line']}: " if error["line"] else ""
        talk.print(f"[red]✗[/] {escape(place + error['message'])}", highlight=False, soft_wrap=True)


def _say_next(batch: Any) -> None:
    """Where the answers, or what failed, are fetched; how to wait for them before."""
    verb = "results" if batch["status"] in ENDED else "wait"
    flags = " -o answers.jsonl" if verb == "results" else ""
    if verb == "results" and not batch["output_file_id"]:
        if not batch["error_file_id"]:
            return
        flags = " --errors -o failures.jsonl"
    talk.print(f"Next: hanok batches {verb} {batch['id']}{flags}", highlight=False, soft_wrap=True)


def _exit_unless_completed(batch: Any) -> None:
    if batch is not None and batch["status"] != "completed":
        raise typer.Exit(1)


def _refuse_to_overwrite(output: Path | None, *, force: bool) -> None:
    if output is not None and output.is_file() and not force:
        raise StartError(f"{output} exists", hint="name another file, or write over it with --force")


def _write(pieces: Iterable[bytes], output: Path | None) -> None:
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    size = 0
    try:
        with output.open("wb") as file:
            for piece in pieces:
                size += file.write(piece)
    except OSError as error:
        raise StartError(f"{output} cannot be written: {error.strerror}") from error
    talk.print(f"Wrote {size:,} bytes to {escape(str(output))}.", highlight=False)


def _short_time(seconds: float) -> str:
    """What fits in a table: batches and files live for days, not years."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%m-%d %H:%MZ")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
