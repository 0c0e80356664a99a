"""gan COMMAND --help: the groups with their choices, and the settings, read from conf/ itself."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from gan_cli.config.choices import conf_dir, config_groups, packaged

SETTING = re.compile(r"^([a-z_]+): *(.*?)(?: +# *(.*))?$")
COMPARE = """\
gan compare: runs, sweeps and evaluation files side by side

  gan compare outputs/train/<run> outputs/train/<other>
  gan compare outputs/sweeps/<sweep>               jobs that differ by their seed are one column
  gan compare a.json b.json                        files that gan eval wrote

The latest evaluation of each run counts. Different conventions, references or sample counts are refused."""
TYPED = (
    ("trainer.max_steps=20000", "or .max_images, .max_minutes: how long"),
    ("trainer.device=cuda", "or .devices, .precision=bfloat16: where and how"),
    ("dataset.root=FOLDER", "or .resolution, .batch_size, .channels: the data"),
    ("optimizer.lr=1e-4", "or .generator.lr, .discriminator.lr, .betas"),
    ("penalty.gradient_penalty.weight=5", "any value of a part that is chosen"),
)


def defaults(text: str) -> dict[str, str]:
    """Group -> its default choice, from a command's defaults list."""
    pairs = re.findall(r"^  - ([a-z_]+): (.+?)(?: *#.*)?$", text, flags=re.MULTILINE)
    return {group: choice.strip("[]") for group, choice in pairs}


def settings(text: str) -> list[tuple[str, str, str]]:
    """Name, value and comment of the top-level settings of a command."""
    rows = [SETTING.match(line) for line in text.splitlines()]
    hidden = ("defaults", "hydra", "recipe", "penalty", "auxiliary", "augment")
    return [(m[1], m[2], m[3] or "") for m in rows if m and m[1] not in hidden]


def modes(folder: Path) -> list[str]:
    """What each choice of `mode` draws, and the settings of its own."""
    lines = []
    for path in sorted((folder / "mode").glob("*.yaml")):
        text = path.read_text()
        own = [f"mode.{name}={value}" for name, value, _ in settings(text) if name not in ("_target_", "n")]
        lines.append(f"  {path.stem:<12} {text.splitlines()[0].lstrip('# ')}")
        lines += [f"  {'':<12} {' '.join(own)}"] if own else []
    return lines


def extra_folders(words: Sequence[str]) -> list[Path]:
    """The folders that --config-dir names."""
    named = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--config-dir", "-cd")]
    named += [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    return [Path(name) for name in named if Path(name).is_dir()]


def show(command: str, words: Sequence[str]) -> None:
    """Prints the help of a command."""
    if command == "compare":
        print(COMPARE, flush=True)
        return
    folder = Path(conf_dir())
    text = (folder / f"{command}.yaml").read_text()
    lines = [text.splitlines()[0].lstrip("# "), ""]
    chosen = defaults(text)
    available = dict(packaged())
    for extra in extra_folders(words):
        for group, names in config_groups(extra).items():
            available[group] = sorted({*available.get(group, []), *names})
    shown = [g for g in chosen if g in available]
    if shown:
        lines.append("Choices (group=choice; several in brackets: 'penalty=[r1,gradient_penalty]'):")
    for group in shown:
        body = textwrap.wrap(", ".join(available[group]), 92)
        lines.append(f"  {group:<12} {body[0]}")
        lines += [f"  {'':<12} {more}" for more in body[1:]]
        if chosen[group] not in ("", "null"):
            lines.append(f"  {'':<12} default: {chosen[group]}")
    if "mode" in shown:
        lines += ["", "Modes, and their own settings:", *modes(folder)]
    lines += ["", "Settings (key=value):"]
    lines += [f"  {f'{name}={value}':<24} {comment}".rstrip() for name, value, comment in settings(text)]
    if command == "train":
        lines += [f"  {word:<36} {meaning}" for word, meaning in TYPED]
        lines += [
            "  resume=RUN                           go on with a run, in its folder",
            "  repeat=RUN                           a new run from another's config.yaml",
            "",
            "-m sweeps: gan train -m loss=hinge,lsgan seed=0,1",
        ]
    lines += [
        "",
        "--cfg job shows the whole config; --config-dir DIR adds your own; trust=MODULE lets a config name your code.",
    ]
    print("\n".join(lines), flush=True)
