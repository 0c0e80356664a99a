"""Names of a run's numbers that tell how a game goes, as they stand in metrics.jsonl."""

REAL, FAKE = "D(real)", "D(fake)"
DIVERSITY = "health/diversity"  # how far samples lie apart, as a fraction of the data's own
DISTANCE = "health/distance"  # how far they lie from the data, in the data's own spread
LIKENESS = "health/likeness"  # a translator's results to their sources: the correlation of brightness
CHANGE = "health/change"  # how far they are from their sources, of the range of values
GENERATOR_GRADIENT, DISCRIMINATOR_GRADIENT = "health/generator_gradient", "health/discriminator_gradient"
GENERATOR_WEIGHTS, DISCRIMINATOR_WEIGHTS = "health/generator_weights", "health/discriminator_weights"  # their rms
LEAK = "health/leak"  # the share of samples that look augmented, by the change that most do
GENERATOR_LOSS, DISCRIMINATOR_LOSS = "generator/loss", "discriminator/loss"
ALL = frozenset({REAL, FAKE, DIVERSITY, DISTANCE, LIKENESS, CHANGE, GENERATOR_GRADIENT, DISCRIMINATOR_GRADIENT})
ALL |= {GENERATOR_WEIGHTS, DISCRIMINATOR_WEIGHTS, LEAK, GENERATOR_LOSS, DISCRIMINATOR_LOSS}
