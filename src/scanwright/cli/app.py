"""The commands. Each is one call of a workflow function."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from scanwright.cli.options import (
    AsJson,
    BoxSide,
    BudgetText,
    ColumnsText,
    Devices,
    Labels,
    Layout,
    Modality,
    ModelFile,
    Out,
    Patient,
    PlanFile,
    PretrainedWeights,
    Quiet,
    Repair,
    Seed,
    SequenceOf,
    Source,
    Structures,
    TaskName,
    Until,
    Write,
    kinds_of,
    numbers_of,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="One folder of medical images in; a tested, explained model and a running service out.\n\n"
    "Research use – not a medical device. Add --debug to any command to see a full traceback.",
)


def _cache() -> Path:
    place = os.environ.get("SCANWRIGHT_CACHE") or os.environ.get("XDG_CACHE_HOME", "")
    return Path(place) / "scanwright" if place else Path.home() / ".cache" / "scanwright"


def _run(source: Path, until: str, quiet: bool, **wishes: Any) -> Any:
    from scanwright import workflow
    from scanwright.cli.show import Show, results_table

    rank = int(os.environ.get("RANK", "0"))
    with Show(quiet=quiet or rank > 0) as show:
        run = workflow.run(source, until=until, emit=show, cache=_cache(), rank=rank, **wishes)
    if rank:
        return run
    if until == "pack":
        evaluations = [e for e in run.evaluations if e.part == "test"]
        show.console.print()
        if evaluations:
            show.console.print(results_table(evaluations))
        for text in dict.fromkeys(w for e in evaluations if e.who == "model" for w in e.warnings):
            show.console.print(f"[yellow]![/] {text}")
        show.console.print(f"\nReport  {run.path / 'report.html'}\nModel   {run.path / 'model.scanwright'}")
        show.console.print(f"Serve   scanwright serve {run.path / 'model.scanwright'}")
    else:
        show.console.print(f"Run folder  {run.path}")
    return run


def _stage(name: str, text: str) -> None:
    """Make a command that runs the chain up to a stage; ``run`` is told by --until where to stop."""
    stage = "" if name == "run" else name

    def command(
        source: Source,
        out: Out = None,
        budget: BudgetText = "standard",
        seed: Seed = 0,
        task: TaskName = None,
        labels: Labels = None,
        structures: Structures = None,
        patient: Patient = None,
        layout: Layout = None,
        modality: Modality = None,
        sequence: SequenceOf = None,
        box_size: BoxSide = None,
        columns: ColumnsText = None,
        devices: Devices = "auto",
        plan: PlanFile = None,
        pretrained: PretrainedWeights = None,
        repair: Repair = "auto",
        quiet: Quiet = False,
        until: Until = "pack",
    ) -> None:
        wishes = {"structures": structures} if structures else {}
        wishes |= {"box_size": box_size} if box_size else {}
        _run(
            source, stage or until, quiet, out=out, budget=budget, seed=seed, task=task, labels=labels,
            patient=patient, layout=layout, modality=modality, sequence=sequence, columns=columns, devices=devices,
            plan=plan, pretrained=pretrained, repair=repair, **wishes,
        )  # fmt: skip

    if stage:  # a stage is where it stops: only run may say so
        signature = inspect.signature(command, eval_str=True)
        kept = [p for p in signature.parameters.values() if p.name != "until"]
        command.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        del command.__annotations__["until"]
    app.command(name, help=text)(command)


_stage("run", "Turn a folder of images into a tested, explained model. Typed again, it goes on.")
_stage("scan", "See what a folder holds: task, labels, patients, parts; nothing is trained.")
_stage("check", "Look for leaks, duplicates, damaged files and wrong labels; lock the parts.")
_stage("plan", "Measure cohort and machine, and write plan.json, every choice with its reason.")
_stage("prepare", "Turn the images into arrays that are ready to train on.")
_stage("train", "Race the candidates and train the winner.")
_stage("explain", "Everything up to heat maps and their examination.")
_stage("pack", "The whole chain: the same as run.")


@app.command()
def evaluate(
    model: ModelFile,
    source: Source,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where the figures go. Default: runs/<model>-on-<name>.", show_default=False),
    ] = None,
    labels: Labels = None,
    patient: Patient = None,
    layout: Layout = None,
    structures: Structures = None,
    sequence: SequenceOf = None,
    box_size: BoxSide = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Test a model on another cohort: metrics.json, predictions.csv and report.html."""
    from scanwright import workflow
    from scanwright.cli.show import Show, results_table

    with Show(quiet=quiet) as show:
        result = workflow.evaluate(
            model,
            source,
            out=out,
            labels=labels,
            patient=patient,
            layout=layout,
            structures=structures,
            sequence=sequence,
            box_size=box_size,
            seed=seed,
            emit=show,
        )
    show.console.print(results_table([e for e in result.evaluations if e.part == "test"]))
    show.console.print(f"Report  {result.path / 'report.html'}")


@app.command()
def adopt(
    network: Annotated[Path, typer.Argument(help="An ONNX file of a classifier.", show_default=False)],
    classes: Annotated[
        str, typer.Option("--classes", help="Names in the order of its outputs, with commas.", show_default=False)
    ],
    cohort: Annotated[
        Path | None,
        typer.Option("--cohort", help="Labelled images to calibrate and judge it on.", show_default=False),
    ] = None,
    out: Out = None,
    values: Annotated[
        str, typer.Option("--values", help="What it was trained to see: 0..1, -1..1, 0..255, imagenet or zscore.")
    ] = "0..1",
    window: Annotated[
        str | None,
        typer.Option(
            "--window", help="Values of the images that span this, as LOW,HIGH. Default: 0,255.", show_default=False
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", help="Sides of its images, such as 224x224, where the file leaves them open.", show_default=False
        ),
    ] = None,
    channels: Annotated[
        str | None, typer.Option("--channels", help="first or last, where its shape does not say.", show_default=False)
    ] = None,
    task: TaskName = None,
    modality: Modality = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Licence of its weights.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model. Default: the file's.", show_default=False)
    ] = None,
    labels: Labels = None,
    patient: Patient = None,
    layout: Layout = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Bring a network that was trained elsewhere (Keras, PyTorch ...) into a model file."""
    from scanwright import workflow
    from scanwright.cli.show import Show, results_table

    said: dict[str, Any] = {"values": values, "order": channels, "task": task, "modality": modality}
    said |= {
        "licence": licence,
        "name": name,
        "window": numbers_of(window, "--window", ","),
        "size": numbers_of(size, "--size", "x"),
    }
    names = [text.strip() for text in classes.split(",")]
    with Show(quiet=quiet) as show:
        run = workflow.adopt(
            network, names, cohort=cohort, out=out, labels=labels, patient=patient, layout=layout, seed=seed,
            emit=show, **said,
        )  # fmt: skip
    evaluations = [e for e in run.evaluations if e.part == "test"] if cohort else []
    if evaluations:
        show.console.print(results_table(evaluations))
        show.console.print(f"Report  {run.path / 'report.html'}")
    show.console.print(f"Model   {run.path / 'model.scanwright'}")
    show.console.print(f"Serve   scanwright serve {run.path / 'model.scanwright'}")


@app.command()
def predict(
    model: ModelFile,
    images: Annotated[list[Path], typer.Argument(help="Images or folders of images.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for JSON, heat maps and predictions.csv.")] = Path(
        "predictions"
    ),
    heatmap: Annotated[bool, typer.Option("--heatmap/--no-heatmap", help="Draw where the model looked.")] = True,
    write: Write = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="Table of the cases' columns, for a model that learnt them.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask a model about new images. Exit status 1 when some could not be answered."""
    import json

    from scanwright import workflow
    from scanwright.cli.show import Show, predictions_table
    from scanwright.core import Failure

    kinds = kinds_of(write)
    wishes: dict[str, Any] = {"write": kinds} if kinds else {}
    wishes |= {"table": table} if table else {}
    with Show(quiet=quiet or as_json) as show:
        answers = workflow.predict(model, images, out=out, heatmap=heatmap, emit=show, **wishes)
    failures = [a for a in answers if isinstance(a, Failure)]
    if as_json:
        rows = [{"case": a.case, "failure": a.reason} if isinstance(a, Failure) else a.to_dict() for a in answers]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        shown = answers if len(answers) <= 30 else [*answers[:20], *failures[:10]]
        show.console.print(predictions_table(shown))
        if len(shown) < len(answers):
            show.console.print(f"… {len(answers)} cases in all; every one is in {out / 'predictions.csv'}")
        show.console.print(f"Files   {out}")
    if failures:
        rest = len(answers) - len(failures)
        after = "; the others are answered." if rest else ": no case is answered."
        show.console.print(f"[red]{len(failures)} of {len(answers)} cases failed[/]{after}")
        raise typer.Exit(1)


@app.command()
def serve(
    models: Annotated[list[Path], typer.Argument(help="Model files.", show_default=False)],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8000,
    max_upload_mb: Annotated[int, typer.Option("--max-upload-mb", help="Largest upload.")] = 512,
) -> None:
    """Serve models: a REST API with its page, on this machine."""
    from scanwright.cli.show import Show
    from scanwright.serving import serve as start

    with Show() as show:
        start(models, host=host, port=port, max_upload_mb=max_upload_mb, emit=show)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")] = Path("runs/demo"),
    budget: BudgetText = "3m",
    patients: Annotated[int, typer.Option("--patients", help="Synthetic patients to make.")] = 400,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """The main job on synthetic chest radiographs, which are made first. Needs no data."""
    from scanwright import workflow
    from scanwright.cli.show import Show

    with Show(quiet=quiet) as show:
        cohort = workflow.phantom(
            "chest-xray", out.parent / f"{out.name}-cohort", patients=patients, seed=seed, emit=show
        )
    _run(cohort, "pack", quiet, out=out, budget=budget, seed=seed)


@app.command()
def phantom(
    kind: Annotated[
        str, typer.Argument(help="chest-xray, chest-ct, chest-followup or heart-clip.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="Folder to make.", show_default=False)],
    patients: Annotated[
        int | None,
        typer.Option(
            "--patients", help="How many synthetic patients. Default: 400 radiographs, 24 CT.", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    faults: Annotated[
        bool, typer.Option("--faults/--no-faults", help="Plant a duplicate and a damaged file for check to find.")
    ] = True,
) -> None:
    """Make a cohort of synthetic patients as real DICOM files, with known truth."""
    from scanwright import workflow
    from scanwright.cli.show import Show

    with Show() as show:
        path = workflow.phantom(kind, out, patients=patients, seed=seed, faults=faults, emit=show)
    show.console.print(f"Cohort  {path}\nRun     scanwright run {path}")


@app.command()
def generate(
    source: Annotated[
        Path, typer.Argument(help="Images to learn from, or a generator.scanwright to draw from.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for the images. Default: synthetic/<name>.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Images in all, divided among the classes.")] = 64,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Class to draw; again for more of them. Default: all.", show_default=False),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="png, dicom, npy or nifti. Default: png for pictures, nifti for volumes.",
            show_default=False,
        ),
    ] = None,
    budget: BudgetText = "20m",
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of the sampler. Default: 20.", show_default=False)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Longest side in pixels. Default: worked out.", show_default=False),
    ] = None,
    mark: Annotated[bool, typer.Option("--mark/--no-mark", help="Write SYNTHETIC into the pixels, too.")] = False,
    keep_copies: Annotated[
        bool, typer.Option("--keep-copies", help="Write images that are nearly training images, too.")
    ] = False,
    task: TaskName = None,
    labels: Labels = None,
    patient: Patient = None,
    layout: Layout = None,
    modality: Modality = None,
    devices: Devices = "auto",
    quiet: Quiet = False,
) -> None:
    """Learn to draw images like those of a folder; draw some, judge them, and write a report."""
    from scanwright import workflow
    from scanwright.cli.show import Show, quality_table

    with Show(quiet=quiet) as show:
        made = workflow.generate(
            source, out=out, emit=show, count=count, classes=tuple(classes or ()), format=form, budget=budget,
            seed=seed, steps=steps, size=size, mark=mark, keep_copies=keep_copies, task=task, labels=labels,
            patient=patient, layout=layout, modality=modality, devices=devices, cache=_cache(),
        )  # fmt: skip
    if made.report is not None:
        show.console.print(quality_table(made.quality))
        show.console.print(f"Report     {made.report}")
    show.console.print(f"Images     {made.path} ({len(made.files)})\nGenerator  {made.generator}")


@app.command()
def fetch(
    name: Annotated[
        str | None, typer.Argument(help="Name of a public cohort; none lists them.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to download to.")] = Path("cohorts"),
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Download from a mirror instead.", show_default=False)
    ] = None,
) -> None:
    """Download a public cohort by name: checksum, resumed downloads, licence shown."""
    from rich.table import Table

    from scanwright import workflow
    from scanwright.cli.show import Show

    with Show() as show:
        if name is None:
            table = Table("name", "what", "licence")
            for row in workflow.public_cohorts():
                table.add_row(row["name"], row["what"], row["licence"])
            show.console.print(table)
            return
        path = workflow.fetch(name, out, base_url=base_url, emit=show)
    show.console.print(f"Cohort  {path}\nRun     scanwright run {path}")


@app.command()
def pretrain(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("base.safetensors"),
    model: Annotated[
        str | None,
        typer.Option("--model", help="resnet9, resnet18, vit ... Default: chosen by the images.", show_default=False),
    ] = None,
    budget: BudgetText = "standard",
    seed: Seed = 0,
    labels: Labels = None,
    patient: Patient = None,
    layout: Layout = None,
    modality: Modality = None,
    sequence: SequenceOf = None,
    devices: Devices = "auto",
    quiet: Quiet = False,
) -> None:
    """Learn weights from images without their labels, for `run --pretrained` to begin from."""
    from scanwright import workflow
    from scanwright.cli.show import Show

    with Show(quiet=quiet) as show:
        path = workflow.pretrain(
            source, out, model=model, budget=budget, seed=seed, labels=labels, patient=patient, layout=layout,
            modality=modality, sequence=sequence, devices=devices, cache=_cache(), emit=show,
        )  # fmt: skip
    show.console.print(f"Base    {path}\nRun     scanwright run FOLDER --pretrained {path}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What this machine can do, and what is missing."""
    import json

    from rich.markup import escape
    from rich.table import Table

    from scanwright import workflow
    from scanwright.cli.show import Show

    facts = workflow.doctor()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    with Show() as show:
        table = Table("", "", show_header=False)
        for key, value in facts.items():
            table.add_row(key, escape(str(value)))
        show.console.print(table)


@app.command()
def info() -> None:
    """Versions, commands and formats as JSON, at once."""
    import json

    from scanwright.cli.facts import facts

    commands = sorted(c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands)
    typer.echo(json.dumps({**facts(), "commands": commands}, indent=2))


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"scanwright {installed('scanwright')}")
        raise typer.Exit
