"""Training: from an experiment's plain records to the files of a run."""
