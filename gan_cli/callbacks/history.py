"""The numbers of a run: metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping

from torch import Tensor

from gan_cli.callbacks import Callback
from gan_cli.files import read_json_lines, write_text
from gan_cli.runs import Run
from gan_cli.training.trainer import Trainer


class History(Callback):
    """One line of metrics.jsonl a record. A resumed run appends; lines after its checkpoint are taken back first."""

    def on_start(self, trainer: Trainer) -> None:
        assert trainer.folder is not None
        self.path = Run(trainer.folder).metrics
        kept = [row for row in read_json_lines(self.path) if row["step"] <= trainer.clock.step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def on_record(self, trainer: Trainer, record: Mapping[str, float]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


class TensorBoard(Callback):
    """The same numbers, and the grids, for `tensorboard --logdir`."""

    def on_start(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        assert trainer.folder is not None
        self.writer = SummaryWriter(str(Run(trainer.folder).tensorboard), purge_step=trainer.clock.step + 1)

    def on_record(self, trainer: Trainer, record: Mapping[str, float]) -> None:
        for name, value in record.items():
            if name not in ("step", "images"):
                self.writer.add_scalar(name, value, int(record["step"]))

    def on_picture(self, trainer: Trainer, name: str, pixels: Tensor) -> None:
        self.writer.add_image(name, pixels, trainer.clock.step)
        self.writer.flush()

    def on_text(self, trainer: Trainer, name: str, text: str) -> None:
        self.writer.add_text(name, text, trainer.clock.step)

    def close(self) -> None:
        self.writer.close()
