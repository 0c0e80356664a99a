"""A model card: what the weights are, what they were trained on, how good they are, and how they are read again.

Names out of a run may be a stranger's: they stand in code, where Markdown gives nothing a meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gan_cli.config import plain_yaml
from gan_cli.console import one_line
from gan_cli.evaluation import comparison
from gan_cli.export import facts
from gan_cli.latent.translate import network_of
from gan_cli.runs.loaded import Translator, of
from gan_cli.runs.restore import Restored
from gan_cli.store.disk import peek

CLASSES = 50  # class names that are listed
WIDE = 200  # characters of a word

LICENCE = "*to be filled in by whoever publishes these weights.*"
LARGEST = 2**24  # bytes of a card that are read
TEMPLATE = """\
# {title}

A generator trained with `gan`, after {step:,} steps ({manner}).

- **Licence:** {licence}
- **Network:** {network}, {parameters:,} parameters
- **Input:** {takes}
- **Output:** {draws}
- **Trained on:** {data}
{classes}
## Measured

{scores}

## How to load it

    gan sample FILE.safetensors n=64 seed=0

```python
from gan_cli import load

generator = load("FILE.safetensors")  # a torch.nn.Module
{usage}
```

The tensors are those of the network that the config names; any reader of safetensors opens the file, and its header
holds the config and the class names.

## Config

{config}
"""


def written(restored: Restored) -> str:
    """The card in Markdown."""
    config = facts.config_of(restored)
    module = of(restored)
    translates = isinstance(module, Translator)
    resolution = "x".join(
        map(str, [module.resolution] * 2 if isinstance(module.resolution, int) else module.resolution or ())
    )
    if isinstance(module, Translator):
        takes = f"pictures `[N, {module.source_channels}, H, W]` in [-1, 1], of any size"
        usage = f"pictures = generator(torch.zeros(1, {module.source_channels}, 256, 256))"
    else:
        labels = f", and labels int64 `[N]` in 0 ... {module.classes - 1}" if module.classes else ""
        takes = f"latents `[N, {module.latent_dim}]` of {code(type(module.prior).__name__)}{labels}"
        usage = "images = generator(*generator.latents(64, seed=0))"
    shape = f"`[N, {module.channels}]`" if restored.points else f"`[N, {module.channels}, H, W]` in [-1, 1]"
    trained_at = f" (trained at {resolution})" if resolution else ""
    return TEMPLATE.format(
        title=code(restored.run.folder.resolve().name if restored.run else restored.path.stem),
        step=restored.step,
        licence=LICENCE,
        manner=restored.manner,
        network=code(config["model"]["generator"]["_target_"]),
        parameters=sum(parameter.numel() for parameter in network_of(restored.generator).parameters()),
        takes=takes,
        draws=f"{'points' if restored.points else 'pictures' if translates else 'images'} {shape}{trained_at}",
        data=_data(restored, config),
        classes="".join(f"- **{title}:** {text}\n" for title, text in _classes(restored)),
        scores=_scores(restored),
        usage=usage,
        config=block(plain_yaml.written(config), "yaml"),
    )


def is_unfilled(path: Path) -> bool:
    """Whether the file is a card as it was written, whose licence nobody has filled in."""
    return LICENCE.encode() in peek(path, LARGEST)


def code(text: object) -> str:
    """Any text as a span of code on one line."""
    plain = one_line(str(text))[:WIDE].replace("`", "'").replace("|", "/")
    return f"`{plain}`"


def block(text: str, language: str = "") -> str:
    """Any text as a block of code, fenced by more ticks than it holds."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _data(restored: Restored, config: Mapping[str, Any]) -> str:
    source = config["dataset"].get("source")
    target = source.get("_target_") if isinstance(source, dict) else config["dataset"].get("_target_")
    told = restored.run.data() if restored.run else {}
    shown = [f"{name} {code(told[name])}" for name in ("samples", "sha256") if name in told]
    return ", ".join([code(target), *shown])


def _classes(restored: Restored) -> Iterator[tuple[str, str]]:
    if names := restored.class_names:
        more = f" and {len(names) - CLASSES} more" if len(names) > CLASSES else ""
        yield "Classes", ", ".join(code(name) for name in names[:CLASSES]) + more


def _scores(restored: Restored) -> str:
    """A table of the latest evaluation of the run, with the conventions without which a number means nothing."""
    record = comparison.latest(restored.run) if restored.run else None
    if record is None or not record.metrics:
        return "Nothing was measured before this was exported; `gan eval` does."
    other = f", which is not the step of these weights ({restored.step:,})" if record.step != restored.step else ""
    told = "unknown" if record.step is None else f"{record.step:,}"
    rows = [f"Measured by `gan eval` at step {told}{other}.", ""]
    rows += ["| metric | value | samples | against | convention |", "|---|---|---|---|---|"]
    for name, value in record.metrics.items():
        error = f" ± {float(value['se']):.2g}" if value.get("se") is not None else ""
        sizes = f"{value.get('n_fake')} / {value.get('n_real')}"
        cells = (code(name), f"{float(value['value']):.5g}{error}", code(sizes))
        rows.append("| " + " | ".join([*cells, code(value.get("reference")), code(value.get("convention"))]) + " |")
    return "\n".join(rows)
