"""One HTML file that draws in a browser, from a file and without a network.

The page holds the network as an ONNX model, and onnxruntime-web. What comes out of a run, such as class names, enters
as JSON and leaves as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from gan_cli.errors import Incompatible, two_lines
from gan_cli.export import Exported, Form, convert, from_latents, from_pictures, runtime, template
from gan_cli.export.model import Model
from gan_cli.export.template import Inside
from gan_cli.runs.restore import Restored
from gan_cli.types import NonNegativeInt, Positive


@dataclass(frozen=True)
class Page(Form):
    """A page with controls for seed, class, truncation, interpolation and directions; of a network that translates
    pictures, one that translates the pictures of whoever opens it.

    Args:
        runtime: A folder with onnxruntime-web; npm fetches it when None.
        n: Samples shown at first; when None, 16 or a few of each class.
        directions: How many sliders for directions of largest change.
        example: A picture that is translated at first, where pictures are translated; whoever gets the page gets it.
        opset, tolerance: As of the ONNX model inside.
    """

    runtime: str | None = None
    n: Annotated[int, Ge(1), Le(256)] | None = None
    directions: NonNegativeInt = 5
    example: str | None = None
    opset: Annotated[int, Ge(18)] = 18
    tolerance: Positive = 1e-4

    @property
    def ending(self) -> str:
        return ".html"

    def check(self) -> None:
        runtime.check(self.runtime)
        convert.check_packages()
        if self.example is not None:
            from_pictures.embeddable(self.example)

    def exported(self, restored: Restored) -> Exported:
        inside = self.inside(restored)
        held = Model(self.opset, self.tolerance)
        model = held.converted(restored, inside.graph)
        title = restored.run.folder.resolve().name if restored.run is not None else restored.path.stem
        page = template.filled(inside, title, model.files[held.ending], runtime.found(self.runtime))
        return Exported({self.ending: page.encode()}, model.facts)

    def inside(self, restored: Restored) -> Inside:
        """What the page is for: latents, or pictures. Raises Incompatible for what no page draws."""
        if restored.translates:
            return from_pictures.inside(restored, self.example)
        if self.example is not None:
            what = f"as.example={self.example}: this generator draws from latents, and is given no pictures"
            raise Incompatible(two_lines(what, "leave it out"))
        return from_latents.inside(restored, self.n, self.directions)
