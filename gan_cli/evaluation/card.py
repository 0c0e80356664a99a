"""The trusted score card: ratios by space and distance, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping

from gan_cli.callbacks.alarms import LEAKING, leaks
from gan_cli.evaluation.values import Evaluation, Value
from gan_cli.metrics.measure import full_name
from gan_cli.metrics.ratios import FRECHET, KERNEL, NAMES, SLICED

TITLES = {FRECHET: "Fréchet", KERNEL: "kernel", SLICED: "sliced Wasserstein"}
FAR = 3.0  # times the distance of real pictures from each other
LOST = 8.0  # where the nearest of all distances is beyond, changed pictures cannot be told from bad ones
SURE = 2.0  # standard errors
Row = Mapping[str, Value]  # distance -> ratio, of one space


def spaces(evaluation: Evaluation) -> Mapping[str, Row]:
    """The ratios by space; none where they were not asked for."""
    found: dict[str, Row] = {}
    for detector in dict.fromkeys(value.detector for value in evaluation.values()):
        suffix = "" if detector == "inception" else detector
        row = {name: evaluation[full] for name in NAMES if (full := full_name(name, suffix)) in evaluation}
        found |= {detector: row} if row else {}
    return found


def holds(name: str) -> bool:
    """Whether a value's place is in the card."""
    return name.startswith(tuple({*NAMES, *(full_name(ratio, "x").removesuffix("_x") for ratio in NAMES)}))


def lines(evaluation: Evaluation) -> list[str]:
    """The card: a row a space, a column a distance; absent spaces with the remedy; verdicts. Empty without ratios."""
    found = spaces(evaluation)
    if not found:
        return []
    rows = [["space", *TITLES.values()]]
    for space, row in found.items():
        rows.append([space, *(row[name].cells()[0] if name in row else "-" for name in TITLES)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    one = next(iter(next(iter(found.values())).values()))
    half = one.n_fake // 2
    said = f"1 is the distance of real pictures from each other, {half} from {half}; ± one standard error"
    absent = [f"{space}: absent: {why}" for space, why in evaluation.absent.items()]
    return [*table, said, *absent, *(f"verdict: {verdict}" for verdict in verdicts(evaluation)), ""]


def verdicts(evaluation: Evaluation) -> list[str]:
    """What the ratios say together, and the alarms of copies and leaks; empty without ratios."""
    found = spaces(evaluation)
    said = [_together(found)] if found else []
    copies, usual = evaluation.get("copies"), evaluation.get("copies_real")
    if copies is not None and usual is not None:
        bar = SURE * ((copies.se or 0) ** 2 + (usual.se or 0) ** 2) ** 0.5
        if copies.value > usual.value + max(bar, 0.01):
            said.append(f"copies: {copies.value:.1%} of the samples are single training pictures, almost")
    shares = {name.removeprefix("leak_"): value.value for name, value in evaluation.items() if name.startswith("leak_")}
    if shares and leaks([max(shares.values())]):
        which = max(shares, key=lambda name: shares[name])
        nearest = min((value.value for row in found.values() for value in row.values()), default=0.0)
        if nearest > LOST:
            said.append(f"no word on augmentation: the samples are {nearest:.3g} times as far as real pictures")
        else:
            said.append(f"{LEAKING.name}: {LEAKING.message.format(shares[which])} ({which})")
    return said


def _together(found: Mapping[str, Row]) -> str:
    """One line about all spaces."""
    for name, title in TITLES.items():
        ratios = {space: row[name].value for space, row in found.items() if name in row}
        gamed, far = ([s for s, r in ratios.items() if test(r)] for test in (lambda r: r < 1, lambda r: r > FAR))
        if gamed and len(gamed) < len(far) and len(gamed) + len(far) == len(ratios):
            where = "one space" if len(gamed) == 1 else f"{len(gamed)} spaces"
            least = min(ratios[space] for space in far)
            return (
                f"gamed in {where}: by the {title} distance the samples are closer than real pictures in "
                f"{', '.join(gamed)}, and {least:.3g} times as far or more in the others"
            )
    every = [(value.value, value.se or 0.0, space) for space, row in found.items() for value in row.values()]
    worst, _, where = max(every)
    if all(abs(value - 1) <= SURE * se for value, se, _ in every):
        return f"as close to the data as real pictures are, in {len(found)} spaces"
    if all(value < 1 for value, _, _ in every):
        return (
            "closer to these pictures than other real ones are, in every space: learnt by heart, or the same pictures"
        )
    return f"at most {worst:.3g} times as far as real pictures are, in {where}"
