"""The numbers of a run: metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gan_cli.callbacks import Callback, Session
from gan_cli.console import printable
from gan_cli.store.disk import naming
from gan_cli.store.rows import RowWriter, read_lines

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


# What TensorBoard lists beside the hyperparameters.
JUDGED = ("generator/loss", "discriminator/loss", "D(real)", "D(fake)")


def _hyperparameter(value: Any) -> bool | int | float | str:
    """A setting as TensorBoard takes it: in UTF-8."""
    if isinstance(value, bool | int | float):
        return value
    return printable(value) if isinstance(value, str) else json.dumps(value, default=str)


class History(Callback):
    """A line of metrics.jsonl for each step at which something is read. A resumed run goes on in the file; lines after
    its checkpoint are removed first."""

    def on_start(self, session: Session) -> None:
        path = session.run.metrics
        self.rows = RowWriter(path, read_lines(path, lambda row: row["step"] <= session.clock.step))

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        self.rows.add({name: value if math.isfinite(value) else None for name, value in record.items()})


class TensorBoard(Callback):
    """The same numbers, and the grids, for `tensorboard --logdir`."""

    writer: SummaryWriter | None = None
    ended: Any = None  # the last word on the hyperparameters

    def on_start(self, session: Session) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = session.run.tensorboard
        with naming(self.folder):
            self.writer = SummaryWriter(str(self.folder), purge_step=session.clock.step + 1)
        if session.clock.step == 0:
            self._introduce(session)

    def _introduce(self, session: Session) -> None:
        """The config, as text and as hyperparameters."""
        from torch.utils.tensorboard.summary import hparams

        told = {name: _hyperparameter(value) for name, value in session.settings().items()}
        with self._writing() as writer:
            writer.add_text("config", f"```yaml\n{printable(session.config)}\n```", 0)
            experiment, begun, self.ended = hparams(told, dict.fromkeys(JUDGED, 0.0))
            for summary in (experiment, begun):
                writer._get_file_writer().add_summary(summary)

    def on_end(self, session: Session, status: str) -> None:
        if self.ended is not None:
            with self._writing() as writer:
                writer._get_file_writer().add_summary(self.ended)

    @contextmanager
    def _writing(self) -> Iterator[SummaryWriter]:
        assert self.writer is not None
        with naming(self.folder):
            yield self.writer

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        with self._writing() as writer:
            for name, value in record.items():
                if name not in ("step", "images"):
                    writer.add_scalar(name, value, int(record["step"]))

    def on_picture(self, session: Session, name: str, pixels: Tensor) -> None:
        with self._writing() as writer:
            writer.add_image(name, pixels, session.clock.step)
            writer.flush()

    def on_text(self, session: Session, name: str, text: str) -> None:
        with self._writing() as writer:
            writer.add_text(name, text, session.clock.step)

    def close(self) -> None:
        if self.writer is not None:
            with naming(self.folder):
                self.writer.close()
