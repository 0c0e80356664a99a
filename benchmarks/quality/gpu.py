"""CIFAR-10 on one GPU, from scratch and without a pretrained network: FID against minutes, for five recipes.

    python benchmarks/quality/gpu.py --root DIR --reference FILE --part 1/5   # ... 5/5, each in less than nine minutes
    python benchmarks/quality/gpu.py --root DIR --reference FILE --tiny       # all of it with the smallest networks

FILE has the statistics of the 50,000 training images (or `cifar10:train`, whose features then take a minute more);
GAN_INCEPTION names the weights. One line a run, as of `minutes.py`.
"""

from __future__ import annotations

import argparse

import minutes
import torch

FAST = ("trainer.precision=bfloat16", "trainer.channels_last=true", "optimizer.fused=true")
# The published rates and averages are for hundreds of times as many images; here all fall within the run.
SHORT = ("schedule=linear", "schedule.start=0.5", "schedule.end=1.0", "trainer.ema_half_life=50000")
RECIPES = {
    "dcgan": ("experiment=dcgan_cifar10", "model.width=128", "dataset.batch_size=64", "optimizer.lr=4e-4"),
    "sngan": ("experiment=sngan_cifar10", "model.width=64", "dataset.batch_size=64", "loss=hinge", *SHORT),
    "stylegan2": ("experiment=stylegan2_cifar10", "conditioning=projection", "augment=[]", *SHORT),
    "r3gan": (
        *("experiment=r3gan_cifar10", "model.width=256", "dataset.batch_size=128", "dataset.flip=true", "augment=[]"),
        *("optimizer.betas=[0.0,0.99]", "penalty.r1.weight=0.05", "penalty.r2.weight=0.05", *SHORT),
    ),
    "r3gan2": (
        *("experiment=r3gan2_cifar10", "model.channel_base=8192", "model.channel_max=256"),
        *("dataset.batch_size=128", "schedule.reference=1000000"),
    ),
}
TINY = {
    "dcgan": ("model.width=2",),
    "sngan": ("model.width=1",),
    "stylegan2": ("model.channel_base=32", "model.channel_max=4", "model.generator.style_dim=4"),
    "r3gan": ("model.width=8", "model.blocks=1", "model.group_width=2"),
    "r3gan2": ("model.channel_base=64", "model.channel_max=8", "model.group_width=4"),
}
SMALLEST = ("dataset.batch_size=4", "dataset.limit=64", "trainer.precision=float32", "trainer.channels_last=false")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--reference", default="cifar10:train")
    parser.add_argument("--part", metavar="K/N", default="1/1", help="only every N-th recipe, from the K-th on")
    parser.add_argument("--minutes", type=float, nargs="+", default=(1.0, 5.0))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    parser.add_argument("--pictures", help="folder for a grid of each")
    parser.add_argument("--tiny", action="store_true", help="the smallest networks, for a few steps: does it run?")
    asked = parser.parse_args()
    first, every = (int(number) for number in asked.part.split("/"))
    judge = ("detector=inception", "metrics=[fid]", f"reference={asked.reference}", f"root={asked.root}")
    lengths, samples = asked.minutes, "n=50000"
    if asked.tiny:
        torch.set_num_threads(1)
        minutes.STRETCH, lengths, samples = 0.2, (0.01,), "n=64"
        judge = ("detector=pixels", "metrics=[fid]", f"root={asked.root}")
    for name in list(RECIPES)[first - 1 :: every]:
        words = (*RECIPES[name], f"dataset.root={asked.root}", *FAST, *((*TINY[name], *SMALLEST) if asked.tiny else ()))
        minutes.curve(words, lengths, asked.seeds, (*judge, samples), asked.pictures)


if __name__ == "__main__":
    main()
