"""TODO mlseg.workdir.columns."""

COVARIATE = "covariate_"  # before the name of a column of the cohort, in that of `data.csv`


PROBABILITY = "probability_"  # before the name of a diagnosis, in the header of `diagnoses.csv`
