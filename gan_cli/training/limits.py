"""How long a run is, and how often something is due in it, in steps, images, epochs or minutes.

An epoch is as many real images shown to the discriminator as there are. Epochs are counted in whole images and nothing
else, so that a resumed run ends, saves and measures where one that never stopped does.
"""

from __future__ import annotations

from gan_cli.errors import ConfigError, two_lines
from gan_cli.types import Clock


def images_in(epochs: float, size: int) -> int:
    """The images of that many epochs of `size` images each, at least one."""
    return max(1, round(epochs * size))


def due(before: Clock, now: Clock, size: int, every_steps: int | None, every_epochs: float | None) -> bool:
    """Whether what is done every so often is due after the step that led from `before` to `now`.

    Where `every_epochs` is given, it alone counts: due once the end of such a stretch was reached or crossed, however
    many were crossed at once. Never due where neither is given.
    """
    if every_epochs is not None:
        stretch = images_in(every_epochs, size)
        return now.images // stretch > before.images // stretch
    return every_steps is not None and now.step % every_steps == 0


ENDS = ("max_steps", "max_images", "max_minutes", "max_epochs")  # of a run, as trainer. has them


class Limits:
    """When a run is done: at whichever of these comes first.

    Args:
        max_steps, max_images, max_minutes, max_epochs: None for no such limit.
        size: The images of an epoch; 0 where that is not known, and then epochs end nothing.
    """

    def __init__(
        self,
        max_steps: int | None,
        max_images: int | None,
        max_minutes: float | None,
        max_epochs: float | None = None,
        size: int = 0,
    ) -> None:
        if max_steps is None and max_images is None and max_minutes is None and max_epochs is None:
            ends = "trainer.max_steps, trainer.max_epochs, trainer.max_images or trainer.max_minutes"
            raise ConfigError(two_lines("a run needs an end", f"set {ends}"))
        self.max_steps = max_steps or float("inf")
        of_epochs = images_in(max_epochs, size) if max_epochs is not None and size else float("inf")
        self.max_images = min(max_images or float("inf"), of_epochs)
        self.max_seconds = (max_minutes or float("inf")) * 60

    @property
    def foreseeable(self) -> bool:
        """Whether steps, images or epochs end the run, so that progress is defined."""
        return min(self.max_steps, self.max_images) < float("inf")

    def progress(self, clock: Clock) -> float:
        """The fraction of the run that is done, by steps or images; time does not count: it is not reproducible."""
        return min(1.0, max(clock.step / self.max_steps, clock.images / self.max_images))

    def reached(self, clock: Clock) -> bool:
        steps_left, images_left = clock.step < self.max_steps, clock.images < self.max_images
        return not (steps_left and images_left and clock.seconds < self.max_seconds)
