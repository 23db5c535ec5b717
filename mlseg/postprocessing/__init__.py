"""From probabilities to masks: thresholds, small components and holes, chosen on validation."""
