"""gan eval: how far samples are from the data, each number with its convention, sizes and error bar."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli import console
from gan_cli.config import compose, trust
from gan_cli.config.schema import validated
from gan_cli.config.words import SHOWS, path, take
from gan_cli.errors import (
    Incompatible,
    Interrupted,
    NotARun,
    NotComparable,
    NotMeasurable,
    NotWritable,
    Refused,
    two_lines,
)
from gan_cli.evaluation.asked import EvalRequest, chosen
from gan_cli.progress import display
from gan_cli.runs.glance import glance, looks_like_one
from gan_cli.store import outputs

if TYPE_CHECKING:
    from gan_cli.evaluation.samples import Source
    from gan_cli.evaluation.values import Evaluation
    from gan_cli.sweeps.folder import Sweep

log = logging.getLogger(__name__)


def evaluate(
    source: str | Path,
    *overrides: str,
    reference: str | Path | None = None,
    metrics: str | Sequence[str] | None = None,
    n: int | None = None,
) -> Evaluation:
    """Measures as `gan eval` does: `evaluate("outputs/train/<run>", reference="cifar10:train", metrics=["fid"])`.

    Args:
        source: A run, a checkpoint, or images.
        overrides: Any of the command line's words, `"detector=pixels"`.
        reference, metrics, n: The same as `reference=...`, `metrics=[...]`, `n=...`.

    Returns:
        Values by name, each with `.value`, `.se`, `.n`, `.convention`: `found.fid.value`. Writes nothing, unless
        `json=...` is given.
    """
    vouched, settings = trust.taken(overrides)
    words = [f"checkpoint={compose.quote(path(source, 'source'))}", *settings]
    words += [f"reference={compose.quote(path(reference, 'reference'))}"] if reference is not None else []
    metrics = [metrics] if isinstance(metrics, str) else metrics
    words += [f"metrics=[{','.join(metrics)}]"] if metrics is not None else []
    words += [f"n={n}"] if n is not None else []
    request = validated(EvalRequest, compose.compose("eval", words).config)
    evaluation, _ = _evaluate(request, vouched)
    _write(request, evaluation, None)
    return evaluation


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan eval`."""
    if "checkpoint='cache'" in words and not Path("cache").exists():
        show_cache([word for word in words if word != "checkpoint='cache'"])
        return
    vouched, settings = trust.taken(words)
    named, others = take("checkpoint", settings)
    if named is not None and not (SHOWS & {*settings}):
        from gan_cli.sweeps.folder import Sweep

        if Sweep(named).is_one():
            _every(Sweep(named), others, vouched)
            return
    compose.perform("eval", settings, lambda config: _run(config, vouched))


def _every(sweep: Sweep, words: Sequence[str], vouched: Sequence[str]) -> None:
    """Measures every run of a sweep alike, and says which choice came out best.

    Raises:
        ConfigError: A word is wrong, or some run could not be measured.
        Interrupted: It was stopped; the runs that were measured keep their numbers.
    """
    from gan_cli.store.run import newest_first
    from gan_cli.sweeps.conclusion import conclude

    answer, others = take("json", words)
    console.set_up(aside=answer is not None and outputs.is_standard(Path(answer)))
    runs = sweep.runs()
    there = [run for run in runs if newest_first(run.checkpoints)]
    if not there:
        raise NotARun(two_lines(f"{sweep.folder} has no run with a checkpoint", "gan train -m ... trains them"))
    refused = []
    for i, run in enumerate(there):
        log.info("\n%s (%d of %d)", run.folder.name, i + 1, len(there))
        chosen = compose.compose("eval", [f"checkpoint={compose.quote(str(run.folder))}", *others]).config
        try:
            _run(chosen, vouched)
        except Interrupted as stop:
            what = f"interrupted: {i} of {len(there)} runs are measured"
            raise Interrupted(two_lines(what, "the same command starts again")) from stop
        except Refused as error:
            log.warning("%s", error)
            refused.append(f"{run.folder.name} was not measured: {str(error).splitlines()[0]}")
    with sweep.alone():
        found = conclude(sweep)
    if answer is not None:
        outputs.answer(answer, found)
    if refused:
        raise NotMeasurable(*refused)


def show_cache(words: Sequence[str]) -> None:
    """Lists the cached features of references."""
    from gan_cli.metrics.store import Store

    console.set_up()
    folder = Path(compose.compose("eval", ["checkpoint=none", *words]).config["cache"]).expanduser() / "references"
    entries = Store(folder).entries()
    log.info("%d references in %s, %.1f MiB", len(entries), folder, sum(e.size for e in entries) / 2**20)
    for entry in entries:
        facts = entry.facts
        said = (
            "damaged, or of another version: not used"
            if facts is None
            else (f"n={facts.get('n')!s:<6} {facts.get('preprocessing')}  data {str(facts.get('data'))[:12]}")
        )
        log.info("  %s  %9s  %s", entry.key[:12], f"{entry.size / 2**20:.1f} MiB", said)


def _run(config: Mapping[str, Any], vouched: Sequence[str]) -> None:
    console.set_up()
    request = validated(EvalRequest, config)
    console.set_up(aside=bool(request.json_file) and outputs.is_standard(Path(str(request.json_file))))
    try:
        evaluation, source = _evaluate(request, vouched)
    except KeyboardInterrupt as stop:
        what = "interrupted: no number is known yet, and nothing was written"
        remedy = "the same command starts again; features that are in the cache are not computed again"
        raise Interrupted(two_lines(what, remedy)) from stop
    if not evaluation:
        raise NotMeasurable(*(f"{name} was not measured: {reason}" for name, reason in evaluation.refused.items()))
    _report(evaluation)
    _write(request, evaluation, source)


@display()
def _evaluate(request: EvalRequest, vouched: Sequence[str]) -> tuple[Evaluation, Source]:
    if looks_like_one(request.checkpoint):
        glance(request.checkpoint, vouched)
    from gan_cli.data.decoding import checked_levels
    from gan_cli.evaluation import samples, values
    from gan_cli.metrics.measure import Plan
    from gan_cli.runs.restore import Manner
    from gan_cli.training.runtime import pick_device, prepare_process

    _spare_inputs(request)
    device = pick_device(request.device)
    prepare_process()
    back = request.direction == "b2a"
    manner = Manner(request.seed, request.ema, request.truncation, back, request.standing_statistics, request.average)
    levels = checked_levels(request.levels, "levels")
    source = samples.open_source(
        request.checkpoint, request.n, manner, device, levels, vouched, request.root, request.most
    )
    _check_kept(request, source)
    reference = samples.open_reference(request.reference, request.root, source, levels)
    if source.points != reference.points:
        what = f"{request.checkpoint} and {reference.name} cannot be compared: one holds points, one images"
        raise NotComparable(two_lines(what, "name a reference of the same kind: reference=NAME"))
    evaluation = values.Evaluation(source.name, source.step, request.seed)
    if source.points and {*request.detector} - {"points"}:
        what = f"detector={next(iter({*request.detector} - {'points'}))}: these are points"
        raise Incompatible(
            two_lines(what, "their distances are known exactly: gan eval RUN, without preset= and detector=")
        )
    detectors, metrics = chosen(request, source, reference, device, vouched, evaluation.absent)
    if not source.points and "points" in detectors:
        raise Incompatible(two_lines("detector=points: these are images", "use detector=pixels or inception"))
    plan = Plan(request.rows, request.batch_size, Path(request.cache) / "references", request.most)
    return values.measure(source, reference, detectors, metrics, plan, evaluation), source


def _check_kept(request: EvalRequest, source: Source) -> None:
    """Raises NotWritable where what is measured could not be kept: better now than when the work is done."""
    if source.run is not None and not request.json_file and not os.access(source.run.folder, os.W_OK):
        what = f"{source.run.folder} is read-only, and no measurement can be kept in it"
        raise NotWritable(two_lines(what, "json=FILE keeps it elsewhere"))


def _report(evaluation: Evaluation) -> None:
    """A table: name, value ± standard error, sizes, what it is; ratios as a card."""
    from gan_cli.evaluation import card

    for line in card.lines(evaluation):
        log.info("%s", line)
    shown = {name: value for name, value in evaluation.items() if not card.holds(name)}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        log.info("%-*s  %-18s  %-14s  %s", width, name, *value.cells())
    for name, reason in evaluation.refused.items():
        log.info("%-*s  not measured: %s", width, name, reason.replace("\n  ", f"\n{' ' * (width + 4)}"))
    references = {value.reference for value in evaluation.values()}
    digests = {f"{v.detector} {v.weights_sha256[:12]}" for v in evaluation.values() if v.weights_sha256}
    weights = f"; weights {', '.join(sorted(digests))}" if digests else ""
    manners = {f", {value.drawn}, seed {evaluation.seed}" for value in evaluation.values() if value.drawn}
    where = ", ".join(sorted(references))
    log.info("of %s against %s%s%s", evaluation.source, where, "".join(manners), weights)


def _spare_inputs(request: EvalRequest) -> None:
    """Raises WouldOverwrite where `json=` names what is measured, or what it is measured with."""
    from gan_cli.evaluation.written import is_written
    from gan_cli.metrics.inception import ENVIRONMENT
    from gan_cli.store.inputs import parts, refuse_overwriting

    if not request.json_file or outputs.is_stream(Path(request.json_file)):
        return
    target = Path(request.json_file)
    words = (request.checkpoint, request.reference, request.root, request.weights, os.environ.get(ENVIRONMENT))
    refuse_overwriting("json", [target, *parts(target, ".png")], words, is_written)


def _write(request: EvalRequest, evaluation: Evaluation, source: Source | None) -> None:
    """Writes evals/<stamp>.json of a run, and the file that json= names."""
    from gan_cli.evaluation import written
    from gan_cli.store.disk import remove_leftovers

    # Within the run first: what was measured is not lost where the named file cannot be written.
    if source is not None and source.run is not None:
        target = source.run.evals / f"{compose.new_stamp()}.json"
        remove_leftovers(target.parent)
        try:
            written.keep(evaluation, target)
            log.info("written to %s", target)
        except NotWritable as error:
            if not request.json_file:
                raise
            log.warning("%s", error)
    if request.json_file:
        written.write(evaluation, Path(request.json_file))
        if source is not None and not outputs.is_standard(Path(request.json_file)):
            log.info("written to %s", request.json_file)
