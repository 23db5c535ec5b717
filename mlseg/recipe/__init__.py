"""From a recipe's config to plain records; `experiment.read` is the one door."""
