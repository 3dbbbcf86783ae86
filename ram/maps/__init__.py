"""Maps that say, in the unit of the target, which regions of the input a prediction comes from."""
