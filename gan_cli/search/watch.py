"""A trial's own measurements, told to the study while it trains; the study may end it early."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.callbacks import Callback, Session
from gan_cli.errors import ConfigError, DiskFull
from gan_cli.metrics import Better
from gan_cli.search import storage
from gan_cli.search.outcome import MARK

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner

log = logging.getLogger(__name__)


@dataclass
class Watch(Callback):
    """Reports each measurement of a run and ends the run when its study's pruner says so.

    Plain values until the run begins, so that it reaches other processes.
    """

    storage: str
    folder: Path  # of the search
    study: str
    number: int  # of the trial
    pruner: BasePruner
    ended: int | None = None  # the step at which the run was ended early
    trial: Trial | None = field(default=None, repr=False)

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        best = session.best
        if best is None or best["metric"] not in record or self.ended is not None:
            return
        cost = Better(str(best["better"])).cost(record[str(best["metric"])])
        try:
            with storage.faults(self.storage), storage.quiet():
                if self._worse(cost, session.clock.step):
                    self.ended = session.clock.step
        except (ConfigError, DiskFull) as error:  # no reason for the run to fail
            log.warning("the study was not told of step %d: %s", session.clock.step, str(error).splitlines()[0])
        if self.ended is not None:
            log.info("pruned: at step %d trial %d is worse than others were there", self.ended, self.number)
            session.end_early()

    def _worse(self, cost: float, step: int) -> bool:
        """Reports a measurement; whether the trial should end. Of what was reported before a kill, only the last is
        judged anew: the process may have died between the two."""
        self.trial = self.trial or self._opened()
        reported = self.trial.study.get_trials(deepcopy=False)[self.number].intermediate_values
        if step not in reported:
            self.trial.report(cost, step)
        return step >= max(reported, default=0) and bool(self.trial.should_prune())

    def _opened(self) -> Trial:
        import optuna

        kept = storage.opened(self.storage, self.folder)
        study = optuna.load_study(study_name=self.study, storage=kept, pruner=self.pruner)
        return optuna.Trial(study, study.get_trials(deepcopy=False)[self.number]._trial_id)

    def findings(self) -> Mapping[str, Any]:
        return {} if self.ended is None else {MARK: self.ended}
