"""From clips to the scores of recordings and intervals: ensembles, engines, batches, pooling and priors."""
