"""A grid of every architecture on the built-in digits, each by one command of a few minutes on one core.

    python benchmarks/quality/gallery.py [MODEL ...]

Writes docs/gallery/MODEL.png, and docs/gallery/README.md with the commands and the scores in results/gallery.jsonl; a
line of JSON for each to the screen, to be kept there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report

from gan_cli import evaluate, sample, train

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "gallery"
RESULTS = Path(__file__).resolve().parent / "results" / "gallery.jsonl"
COMMON = ("dataset=digits", "dataset.resolution=16", "conditioning=projection", "schedule=linear", "schedule.start=0.5")
SMALL_MAPS = ("model.channel_base=256", "model.channel_max=32", "model.latent_dim=64")
STYLES = ("model.generator.style_dim=64", "model.generator.mapping_layers=2")
GROWTH = ("model.growth.fade_images=10000", "model.growth.stable_images=10000")
R1 = ("penalty=[r1]", "penalty.r1.weight=0.5", "penalty.r1.interval=4")
# Within minutes, many updates on few samples are worth more than few updates on many.
FEW = "dataset.batch_size=16"
RESIDUAL = ("model.width=8", FEW, *R1, "optimizer.lr=3e-4")
# Without a normalisation over the batch, pairing with both penalties keeps the generator from drawing one picture.
PAIRED = (
    *("loss=r3gan", "penalty.r1.weight=2", "penalty.r2.weight=2", "penalty.r1.interval=4", "penalty.r2.interval=4"),
    *("optimizer.lr=2e-3",),
)
MODELS = {
    "mlp": ("model.generator.norm=batch", *R1, "trainer.max_steps=4000"),
    "dcgan": ("model.width=16", *R1, "trainer.max_steps=4000"),
    "sngan": (*RESIDUAL, "trainer.max_steps=5000"),
    "sagan": (*RESIDUAL, "trainer.max_steps=3500"),
    "biggan": (*RESIDUAL, "trainer.max_steps=3000"),
    "wgan_gp_resnet": (
        *("model.width=8", "loss=wgan_gp", "game.critic_steps=2", "optimizer.lr=1e-3", "trainer.max_steps=800"),
    ),
    "pggan": (*SMALL_MAPS, *GROWTH, FEW, *PAIRED, "trainer.max_steps=4000"),
    "stylegan": (*SMALL_MAPS, *GROWTH, *STYLES, FEW, *PAIRED, "trainer.max_steps=4000"),
    "stylegan2": (*SMALL_MAPS, *STYLES, FEW, *PAIRED, "trainer.max_steps=2500"),
    "r3gan": ("model.width=32", "model.blocks=1", "loss=r3gan", FEW, "optimizer.lr=5e-4", "trainer.max_steps=2500"),
}


def command(model: str) -> str:
    return " ".join(f"'{word}'" if "[" in word else word for word in (f"model={model}", *COMMON, *MODELS[model]))


def index() -> None:
    """docs/gallery/README.md: each picture with the command and the scores that the newest line of the results has."""
    found = {line["model"]: line for line in map(json.loads, RESULTS.read_text().splitlines())}
    lines = [
        "# Gallery",
        "",
        "Architectures on the built-in digits, a row a class: a few minutes each on one core, by the command below it",
        "and `gan sample RUN n=80`. `python benchmarks/quality/gallery.py` draws them all anew.",
        "",
    ]
    for model in (model for model in MODELS if model in found and (FOLDER / f"{model}.png").exists()):
        result = found[model]
        lines += [
            f"## {model}",
            "",
            f"![a grid of digits, a row a class]({model}.png)",
            "",
            f"    {result['command']}",
            "",
            f"{result['train_seconds'] / 60:.0f} minutes, fd_classifier {result['fd_classifier']:.2g}, "
            f"{result['on_demand_classifier']:.0%} drawn as asked for.",
            "",
        ]
    (FOLDER / "README.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=tuple(MODELS))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for model in parser.parse_args().models:
        with tempfile.TemporaryDirectory() as scratch:
            began = time.perf_counter()
            run = train(
                f"model={model}", *COMMON, *MODELS[model], f"hydra.run.dir={scratch}/run", "callback=[checkpoints]"
            )
            seconds = time.perf_counter() - began
            sample(run.folder, "n=80", f"out={FOLDER / model}.png")
            found = evaluate(run.folder, metrics=["fid", "on_demand"], n=2000)
            report(
                "gallery",
                model=model,
                command=f"gan train {command(model)}",
                steps=run.step,
                train_seconds=seconds,
                **{name: value.value for name, value in found.items()},
            )
    index()


if __name__ == "__main__":
    main()
