"""From examples to a finished adapter: training data, distillation, finishing, the forgetting gate."""
