"""Four probes and short trainings: a forecast of what retrieval and tuning will gain, before a study is paid for."""
