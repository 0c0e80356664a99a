"""gan: the experiment runner for generative adversarial networks.

from gan_cli import train, sample, evaluate, load

run = train("model=mlp", "dataset=ring", "trainer.max_steps=2000")
points = sample(run.folder, "n=1000", "seed=7")
generator = load(run.folder)

What may be relied on: `train`, `sample`, `evaluate`, `load` and `Result`; every class that `conf/` names, under its
old names too; and, for parts of your own, the contracts that docs/extending.md shows (`losses.Loss`, `types.Term`,
`callbacks.Callback`, `data.images.Request`, ...). Every other module may move.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gan_cli.shell.table import home

if TYPE_CHECKING:
    from gan_cli.commands.eval import evaluate as evaluate
    from gan_cli.commands.export import load as load
    from gan_cli.commands.sample import sample as sample
    from gan_cli.commands.train import Result as Result
    from gan_cli.commands.train import train as train

__version__ = "0.1.0"
__all__ = ["Result", "evaluate", "load", "sample", "train"]


def __getattr__(name: str) -> Any:
    # Looked up on first use: `gan --help` and shell completion must not wait for torch.
    module = home(name)
    if module is not None:
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'gan_cli' has no attribute {name!r}")
