"""The commands, one row each. A new one is a row here, a file in `gan_cli/commands` and one in `conf/`."""

from __future__ import annotations

import keyword
from dataclasses import dataclass

from gan_cli.store.caches import CACHES


@dataclass(frozen=True)
class Word:
    """A word of a command without a file of settings.

    Attributes:
        typed: A flag, a plain word, or a setting with its `=`.
        says: What it does; its values, if they are not listed.
        values: The values of a setting, if there are few.
        leads: Whether it comes first, and says what the others are for.
        then: Plain words that may follow it then.
    """

    typed: str
    says: str
    values: tuple[str, ...] = ()
    leads: bool = False
    then: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """What is known of a command without starting it.

    Attributes:
        name: `gan NAME`; its settings are those of `conf/NAME.yaml`.
        says: What it does, in a line.
        examples: Whole lines for the help of `gan` itself.
        setting: What a plain word sets, `checkpoint`; empty where a plain word means nothing.
        optional: Whether it does without that word.
        configured: Whether it has a file of settings; one without takes all its words literally.
        like: The command whose choices and settings it takes too.
        takes: The words of a command without a file of settings, besides paths.
        runs: Whether its plain words are runs.
        alive: Whether only runs that are running are meant.
        filters: The command by whose choices runs are told apart.
        detailed: Groups whose choices its help describes one by one.
        typed: Words that people often type, beyond the settings at the top of its file, and their meaning.
        notes: The end of its help.
        python: What it offers to Python: names in `gan_cli`.
    """

    name: str
    says: str
    examples: tuple[str, ...]
    setting: str = ""
    optional: bool = False
    configured: bool = True
    like: str = ""
    takes: tuple[Word, ...] = ()
    runs: bool = False
    alive: bool = False
    filters: str = ""
    detailed: tuple[str, ...] = ()
    typed: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    python: tuple[str, ...] = ()

    @property
    def home(self) -> str:
        """The module of its code: `gan_cli.commands.NAME`, or `NAME_` where Python has the word for itself."""
        return f"gan_cli.commands.{self.name}{'_' * keyword.iskeyword(self.name)}"


JSON = Word("--json", "the answer as JSON on standard output; json=FILE writes it to a file")
TRAIN = Command(
    "train",
    "train a model, sweep over choices with -m, or continue with resume=RUN",
    (
        "gan train                                        a DCGAN on handwritten digits",
        "gan train model=dcgan loss=wgan_gp dataset=cifar10",
        "gan train -m loss=nonsaturating,hinge seed=0,1   four runs",
    ),
    typed=(
        ("trainer.max_steps=20000", "or .max_epochs, .max_images, .max_minutes: how long"),
        ("trainer.device=cuda", "or .devices, .precision=bfloat16, .runtime=auto: where and how"),
        ("dataset.root=FOLDER", "or .resolution, .batch_size, .channels: the data"),
        ("optimizer.lr=1e-4", "or .generator.lr, .discriminator.lr, .betas"),
        ("penalty.gradient_penalty.weight=5", "any setting of a chosen part"),
        ("resume=RUN", "continue a run, in its folder"),
        ("repeat=RUN", "a new run from another's config.yaml"),
        ("--json", "how the run ended, as JSON on standard output; json=FILE"),
    ),
    notes=(
        "-m sweeps: gan train -m loss=hinge,lsgan seed=0,1",
        "  gan train -m resume=outputs/sweeps/<sweep>       goes on with one; jobs=failed, jobs=3 run some again",
        "  gan train -m loss=OLD,NEW seed=0,1,2,3,4 evaluation.every_steps=500 decide=loss   keep, drop or undecided",
    ),
    python=("train", "Result"),
)
SEARCH = Command(
    "search",
    "look for good settings with Optuna; go on with resume=SEARCH",
    ("gan search search=[learning_rates] evaluation.every_steps=500 trials=20",),
    like="train",
    detailed=("sampler", "pruner"),
    typed=(
        ("'optimizer.lr=tag(log,interval(1e-5,1e-3))'", "numbers to try; also range(1,6)"),
        ("loss=hinge,lsgan", "choices to try, as in gan train -m"),
        ("evaluation.every_steps=500", "when each trial is measured; required"),
        ("loss=hinge", "and every other word of gan train: what all trials share"),
    ),
    notes=(
        "  gan search resume=outputs/searches/<search>      after a kill, or in a second terminal for more processes",
        "  gan report outputs/searches/<search>             history and importance",
    ),
)
SAMPLE = Command(
    "sample",
    "draw samples from a run or a checkpoint",
    ("gan sample outputs/train/<run> n=64 seed=7",),
    setting="checkpoint",
    detailed=("mode",),
    python=("sample",),
)
EVAL = Command(
    "eval",
    "measure a run, a checkpoint or images against real data",
    ("gan eval outputs/train/<run> reference=cifar10:train n=50000",),
    setting="checkpoint",
    python=("evaluate",),
)
EXPORT = Command(
    "export",
    "take a trained generator elsewhere: weights, ONNX, a page that draws",
    ("gan export outputs/train/<run> as=html",),
    setting="checkpoint",
    detailed=("as",),
    python=("load",),
)
COMPARE = Command(
    "compare",
    "runs, sweeps and evaluation files side by side",
    ("gan compare outputs/train/<run> outputs/train/<other>",),
    configured=False,
    takes=(JSON, Word("--verdict", "keep, drop or undecided: the second against the first, paired by seed, as JSON")),
    runs=True,
    notes=(
        "  gan compare outputs/train/<run> outputs/train/<other>",
        "  gan compare outputs/sweeps/<sweep>               its choices in order, means over seeds",
        "  gan compare outputs/sweeps/<old> outputs/sweeps/<new> --verdict",
        "  gan compare a.json b.json                        files that gan eval wrote",
        "",
        "The latest evaluation of each run counts. Different conventions, references or sample counts are refused.",
    ),
)
RUNS = Command(
    "runs",
    "list the runs, remove some, or prune their checkpoints",
    ("gan runs sort=best                               what there is, how far, how good",),
    configured=False,
    takes=(
        Word("status=", "only these", ("running", "stopped", "finished", "failed", "diverged")),
        Word("tag=", "only those with this tag: gan train 'tags=[baseline]'"),
        Word("sort=", "newest first by default", ("age", "best", "name", "size", "step")),
        JSON,
        Word("rm", "removes whole runs, after asking: gan runs rm RUN...", leads=True),
        Word("prune", "removes checkpoints but best.pt and last.pt, after asking: gan runs prune [RUN...]", leads=True),
        Word("yes=", "rm and prune do not ask", ("true",)),
    ),
    runs=True,
    filters="train",
    notes=(
        "  gan runs                                         all runs below outputs/",
        "  gan runs status=failed                           and loss=hinge, or any setting: what was chosen or set",
        "  gan runs cifar outputs/sweeps                    folders to look in, and a part of the name",
        "  gan runs rm outputs/train/<run>",
        "  gan runs prune                                   of all finished and stopped runs",
    ),
)
SHOW = Command(
    "show",
    "a run on a page: command, data, scores, alarms, files, what to type next",
    (),
    configured=False,
    takes=(JSON,),
    runs=True,
    notes=("  gan show outputs/train/<run>",),
)
LOGS = Command(
    "logs",
    "a run's log; -f follows it",
    (),
    configured=False,
    takes=(
        Word("-f", "follows the log until the run ends; Ctrl-C ends the following alone"),
        Word("n=", "so many lines from its end"),
    ),
    runs=True,
    notes=("  gan logs -f n=20 outputs/train/<run>",),
)
STOP = Command(
    "stop",
    "ask a run to stop as Ctrl-C does, and wait until it has",
    (),
    configured=False,
    takes=(JSON,),
    runs=True,
    alive=True,
    notes=(
        "  gan stop outputs/train/<run>",
        "",
        "The run completes its step and saves; gan train resume=RUN continues it.",
    ),
)
REPORT = Command(
    "report",
    "a run, a sweep or several runs as one HTML file to look at",
    ("gan report outputs/train/<run>",),
    configured=False,
    takes=(Word("out=", "the file; report.html in the folder of the run or sweep, or of several here"), JSON),
    runs=True,
    notes=(
        "  gan report outputs/train/<run>",
        "  gan report outputs/sweeps/<sweep>",
        "  gan report outputs/train/<run> outputs/train/<other> out=both.html",
    ),
)
DOCTOR = Command(
    "doctor",
    "what this machine has, what is missing, and where to put it",
    ("gan doctor                                       versions, devices, weights, caches, speed",),
    configured=False,
    takes=(JSON,),
    notes=("Exit code 1 if something that gan needs is broken.",),
)
CONFIG = Command(
    "config",
    "a whole config as a file to edit, from choices or from a run; its schema for editors",
    ("gan config experiment=demo out=experiment/mine.yaml",),
    configured=False,
    like="train",
    takes=(
        Word("out=", "the file, in a folder called experiment; standard output without it"),
        Word("--json", "the config, resolved, as JSON on standard output; json=FILE"),
        Word("schema", "the schema of such files, for editors: gan config schema out=gan.schema.json"),
    ),
    runs=True,
    notes=(
        "  gan config experiment=demo loss=hinge out=experiment/mine.yaml",
        "  gan config outputs/train/<run> out=experiment/mine.yaml",
        "  gan train --config-dir . experiment=mine",
        "",
        "It takes the choices and settings of gan train; a run's file gives the run's config.",
    ),
)
CACHE = Command(
    "cache",
    "what is kept outside of runs; clear removes it",
    (),
    configured=False,
    takes=(
        JSON,
        Word(
            "clear",
            f"removes them, after asking: gan cache clear [{'] ['.join(CACHES)}]",
            leads=True,
            then=tuple(CACHES),
        ),
        Word("yes=", "clear does not ask", ("true",)),
    ),
    notes=("Only files of these caches go, and none that is in use. $GAN_CACHE names another folder.",),
)
DATA = Command(
    "data",
    "pack a folder of pictures into tar shards, to keep and to move as few files",
    ("gan data pack photos out=shards                  for gan train dataset=webdataset dataset.root=shards",),
    configured=False,
    takes=(
        Word("pack", "pictures of a folder or zip, as they are, in WebDataset's layout: gan data pack FOLDER"),
        Word("out=", "the new folder"),
        Word("size=", "MiB of a shard at most; 256 where it is left out"),
        JSON,
    ),
    notes=(
        "  gan data pack photos out=shards                  classes stay classes, splits become folders",
        "  gan data pack photos.zip out=shards size=1000",
    ),
)
IMPORT = Command(
    "import",
    "make a run of other people's checkpoints, executing nothing in them",
    ("gan import network-snapshot.pkl                    StyleGAN2, R3GAN, BigGAN, mimicry, DCGAN",),
    configured=False,
    takes=(
        Word("out=", "the run folder; in outputs/train when it is left out"),
        Word("name=", "the end of the run folder's name"),
        Word("root=", "the folder of pictures to evaluate and train it on"),
        JSON,
    ),
    notes=(
        "  gan import network-snapshot.pkl                  stylegan2-ada-pytorch, stylegan3's StyleGAN2, R3GAN",
        "  gan import G_ema.pth G.pth D.pth                 BigGAN (ajbrock, StudioGAN), mimicry",
        "  gan import netG.pth netD.pth                     DCGAN of pytorch/examples",
        "",
        "The code and the sizes are recognised by the tensors. A tensor that has no place here is a reason to refuse.",
    ),
)
BENCH = Command(
    "bench",
    "experiments whose answers are known, over seeds: one table",
    ("gan bench modes                                  ring, grid, 100 Gaussians, stacked digits",),
    setting="suite",
    optional=True,
    detailed=("suite",),
)
ROWS = (
    TRAIN,
    SEARCH,
    SAMPLE,
    EVAL,
    EXPORT,
    IMPORT,
    COMPARE,
    BENCH,
    RUNS,
    SHOW,
    REPORT,
    LOGS,
    STOP,
    DATA,
    DOCTOR,
    CONFIG,
    CACHE,
)
COMMANDS = {command.name: command for command in ROWS}


def home(name: str) -> str | None:
    """The module that offers a name to Python."""
    return next((row.home for row in COMMANDS.values() if name in row.python), None)
